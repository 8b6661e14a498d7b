"""Encoders: images in 0..255 -> representations, of stock Keras layers only."""

from keras_vicreg.encoders.backbones import as_encoder
from keras_vicreg.encoders.describe import describe_encoder
from keras_vicreg.encoders.named_backbones import load_backbone
from keras_vicreg.encoders.registry import ENCODERS, encoder

__all__ = ["ENCODERS", "as_encoder", "describe_encoder", "encoder", "load_backbone"]
