"""The entrance of every encoder: images in 0..255 -> normalised images."""

import math

import keras
import numpy as np

MAX_SIDE = 4096
MAX_CHANNELS = 64
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def image_input(image_shape, mean=None, std=None):
    """The input tensor and the normalised images, `(x / 255 - mean) / std`.

    Args:
        image_shape: `(height, width, channels)`; height and width may be `None`.
        mean: One number a channel, or `None` for ImageNet's.
        std: One positive number a channel, or `None` for ImageNet's.

    Returns:
        Two symbolic tensors `(batch, height, width, channels)`.

    Raises:
        ValueError: If an argument is malformed, or if images of other than three
            channels come without `mean` and `std`.
    """
    image_shape = check_image_shape(image_shape)
    mean = _per_channel("mean", mean, IMAGENET_MEAN, image_shape[-1])
    std = _per_channel("std", std, IMAGENET_STD, image_shape[-1])
    if min(std) < 1e-3:
        raise ValueError(f"`std` must be 0.001 or above. Received: std={std!r}")
    images = keras.Input(image_shape, name="images")
    return images, normalization(mean, std)(images)


def normalization(mean, std):
    """The layer that maps 0..255 to `(x / 255 - mean) / std`, channel by channel."""
    mean, std = np.array(mean, "float64"), np.array(std, "float64")
    # Arrays of three axes: exact in float64 too, and broadcast over the last axis even
    # where Keras is configured for channels first.
    return keras.layers.Rescaling(
        scale=(1 / (255 * std))[None, None],
        offset=(-mean / std)[None, None],
        name="normalization",
    )


def check_image_shape(image_shape):
    """`image_shape` as a tuple, once it is known to be sane."""
    sane = isinstance(image_shape, (list, tuple)) and len(image_shape) == 3
    if sane:
        *sides, channels = image_shape
        sane = _whole(channels, MAX_CHANNELS) and all(
            side is None or _whole(side, MAX_SIDE) for side in sides
        )
    if not sane:
        raise ValueError(
            "`image_shape` must be (height, width, channels) with sides of 1 to "
            f"{MAX_SIDE} pixels (or None) and 1 to {MAX_CHANNELS} channels. "
            f"Received: image_shape={image_shape!r}"
        )
    return tuple(image_shape)


def _whole(value, largest):
    return type(value) is int and 1 <= value <= largest


def _per_channel(name, values, default, channels):
    if values is None and channels == len(default):
        return default
    numbers = isinstance(values, (list, tuple)) and all(
        type(v) in (int, float) and math.isfinite(v) for v in values
    )
    if not numbers or len(values) != channels:
        raise ValueError(
            f"`{name}` must be a list of {channels} numbers, one a channel"
            f"{' (its default is for 3)' if channels != len(default) else ''}. "
            f"Received: {name}={values!r}"
        )
    return tuple(values)
