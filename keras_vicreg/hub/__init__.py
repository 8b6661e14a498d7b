"""Presets on the Hugging Face Hub: publish, load, verify, never lose or trust."""

from keras_vicreg.hub.download import find_manifest, load, pull
from keras_vicreg.hub.upload import push, upload_preset

__all__ = ["find_manifest", "load", "pull", "push", "upload_preset"]
