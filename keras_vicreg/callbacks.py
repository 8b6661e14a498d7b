"""Callbacks for pretraining: the table of contents of `kv.callbacks`."""

from keras_vicreg.resume import Resume

__all__ = ["Resume"]
