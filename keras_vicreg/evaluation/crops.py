"""What the authors show a classifier: random crops to train, central ones to test."""

import numpy as np

from keras_vicreg import augment


def crop_size(encoder, images_shape) -> tuple[int, int]:
    """`(height, width)` that an encoder takes, or that of the images if it takes any.

    Args:
        encoder: a Keras model.
        images_shape: `(height, width, channels)` of the training images.
    """
    size = encoder.input_shape[1:3]
    return tuple(own or given for own, given in zip(size, images_shape))


def random_crops(images, size: tuple[int, int], seed: int):
    """Random resized crops (bilinear, area 0.08 to 1), half of them mirrored.

    Args:
        images: tensor `(batch, height, width, channels)`, 0..255.
        size: `(height, width)` of the crops.
        seed: int.
    """
    crop = augment.RandomResizedCrop(size, interpolation="bilinear", seed=seed)
    flip = augment.RandomHorizontalFlip(seed=seed + 1)
    return flip(crop(images))


def central_crops(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The centres of images that are larger than `size`; others as they are."""
    height, width = size
    top = max(0, (images.shape[1] - height) // 2)
    left = max(0, (images.shape[2] - width) // 2)
    return images[:, top : top + height, left : left + width]
