"""The augmentation layers Keras lacks, with the meaning they have on Pillow."""

from keras_vicreg.augment.blur import RandomGaussianBlur
from keras_vicreg.augment.color import ColorJitter, RandomGrayscale
from keras_vicreg.augment.crop import RandomResizedCrop
from keras_vicreg.augment.flip import RandomHorizontalFlip
from keras_vicreg.augment.operations import RandomOperations
from keras_vicreg.augment.solarize import RandomSolarize

__all__ = [
    "ColorJitter",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomOperations",
    "RandomResizedCrop",
    "RandomSolarize",
]
