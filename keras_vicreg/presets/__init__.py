"""The format of presets: an encoder in a folder, with all that is needed to use it.

The way in is `writer`, the way back `folder` and `reader`; what decides is the
`manifest`. `keras_vicreg.zoo` finds them by handle.
"""

from keras_vicreg.presets.errors import PresetError

__all__ = ["PresetError"]
