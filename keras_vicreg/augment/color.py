"""ColorJitter and RandomGrayscale."""

import itertools

import keras
import numpy as np

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import (
    Augmentation,
    Occasional,
    check_probability,
    per_image,
)

# What the red, green and blue of a pixel weigh in its grey (ITU-R 601-2).
GREY = (0.299, 0.587, 0.114)

_, CONTRAST, SATURATION, HUE, NOTHING = range(5)
ORDERS = np.array(list(itertools.permutations(range(4))), "int32")  # (24, 4)


@keras.saving.register_keras_serializable(package="keras_vicreg")
class ColorJitter(Augmentation):
    """Changes brightness, contrast, saturation and hue, each image in its own order.

    The first three blend the image with black, with its mean grey, or with its grey
    version, as `PIL.ImageEnhance` does; the hue is turned in HSV space. Each of the
    four clips to 0..255. Images that have not three channels are left alone.

    Args:
        brightness: float, the factor is drawn from `max(0, 1 - brightness)` to
            `1 + brightness`. Defaults to `0.4`.
        contrast: float, likewise. Defaults to `0.4`.
        saturation: float, likewise. Defaults to `0.2`.
        hue: float up to `0.5`, the turn is drawn from `-hue` to `hue`, in whole
            turns. Defaults to `0.1`.
        probability: float, the chance that an image is changed at all. Defaults to
            `0.8`.
        seed: optional int.
        **kwargs: see `keras.layers.Layer`.

    Parameters of `draw` and `apply`: `apply`, bool `(batch,)`; the factors
    `brightness`, `contrast`, `saturation` and the turn `hue`, float32 `(batch,)`;
    `order`, int32 `(batch, 4)`, which of the four, numbered in this sequence, comes
    first, second, third, last.

    Example:

    >>> images = np.random.randint(0, 256, (8, 32, 32, 3), "uint8")
    >>> kv.augment.ColorJitter(0.8, 0.8, 0.8, 0.2)(images).shape
    (8, 32, 32, 3)
    """

    numbers = 6

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        probability: float = 0.8,
        seed=None,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        check_probability(probability)
        self.strengths = {
            "brightness": brightness,
            "contrast": contrast,
            "saturation": saturation,
            "hue": hue,
        }
        for name, strength in self.strengths.items():
            limit = 0.5 if name == "hue" else float("inf")
            if not isinstance(strength, (int, float)) or not 0 <= strength <= limit:
                raise ValueError(
                    f"`{name}` must be a number from 0 to {limit:g}. "
                    f"Received: {name}={strength!r}"
                )
        self.probability = probability

    def parameters(self, numbers, image_shape):
        ops = ops_for(numbers)
        parameters = {"apply": numbers[:, 0] < self.probability}
        for column, (name, strength) in enumerate(self.strengths.items(), 1):
            low = -strength if name == "hue" else max(0.0, 1.0 - strength)
            high = strength if name == "hue" else 1.0 + strength
            parameters[name] = low + (high - low) * numbers[:, column]
        index = ops.cast(ops.floor(numbers[:, 5] * len(ORDERS)), "int32")
        orders = ops.convert_to_tensor(ORDERS)
        parameters["order"] = ops.take(orders, index, axis=0)
        return parameters

    def transform(self, pixels, parameters):
        if pixels.shape[2] != 3:
            return pixels
        if pixels.shape[0] == 1:  # a single image can go without the work
            return ops_for(pixels).cond(
                parameters["apply"][0],
                lambda: self.change(pixels, parameters),
                lambda: pixels,
            )
        return self.change(pixels, parameters)

    def change(self, pixels, parameters):
        """All four changes, each image in its own order."""
        ops = ops_for(pixels)
        order, apply = parameters["order"], parameters["apply"]
        hue_place = ops.argmax(ops.cast(order == HUE, "int32"), axis=1)[:, None]
        place = ops.arange(3, dtype="int32")
        # The hue costs most: computed once, between three places for what comes
        # before it and three for what comes behind, it fits into every order.
        before = ops.logical_and(apply[:, None], place < hue_place)
        behind = ops.logical_and(apply[:, None], place >= hue_place)
        changes = ops.where(before, order[:, :3], NOTHING)
        pixels = blend(pixels, changes, parameters, 0, ops.max(hue_place))
        pixels = turn_hue(pixels, ops.where(apply, parameters["hue"], 0.0))
        changes = ops.where(behind, order[:, 1:], NOTHING)
        return blend(pixels, changes, parameters, ops.min(hue_place), 3)

    def get_config(self):
        return {
            **super().get_config(),
            **self.strengths,
            "probability": self.probability,
        }


@keras.saving.register_keras_serializable(package="keras_vicreg")
class RandomGrayscale(Occasional):
    """Replaces the colours of an image by its grey.

    Images that have not three channels are left alone.

    Args:
        probability: float, the chance that an image turns grey. Defaults to `0.2`.
        seed: optional int.
        **kwargs: see `keras.layers.Layer`.

    Parameters of `draw` and `apply`: `apply`, bool `(batch,)`.

    Example:

    >>> images = np.random.randint(0, 256, (8, 32, 32, 3), "uint8")
    >>> kv.augment.RandomGrayscale()(images).shape
    (8, 32, 32, 3)
    """

    def __init__(self, probability: float = 0.2, seed=None, **kwargs):
        super().__init__(probability, seed=seed, **kwargs)

    def changed(self, pixels):
        return grey(pixels) if pixels.shape[2] == 3 else pixels


def grey(pixels):
    """The grey of colour pixels, `(batch, height, 3, width)` -> `(.., 1, width)`."""
    red, green, blue = (pixels[:, :, c : c + 1] for c in range(3))
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue


def blend(pixels, changes, parameters, first, end):
    """Changes of brightness, contrast and saturation, one after the other.

    Each is `factor * pixels + (1 - factor) * toward`, where `toward` is black, the
    mean grey of the image, or the grey of the pixel.

    Args:
        pixels: float32 tensor `(batch, height, 3, width)`.
        changes: int32 tensor `(batch, places)`, which change comes at which place;
            any other number than those three is none.
        parameters: the factors, by name.
        first: int or scalar tensor, the first place with a change in any image.
        end: int or scalar tensor, the place after the last one.

    Returns:
        float32 tensor like `pixels`, 0..255.
    """
    ops = ops_for(pixels)
    factor = ops.ones_like(ops.cast(changes, "float32"))  # (batch, places)
    for number, name in enumerate(("brightness", "contrast", "saturation")):
        factor = ops.where(changes == number, parameters[name][:, None], factor)
    toward_mean = ops.where(changes == CONTRAST, 1.0 - factor, 0.0)
    toward_grey = ops.where(changes == SATURATION, 1.0 - factor, 0.0)

    def change(place, pixels):
        shade = grey(pixels)
        constant = toward_mean[:, place] * ops.mean(
            ops.mean(shade, axis=3), axis=(1, 2)
        )
        toward = per_image(toward_grey[:, place]) * shade + per_image(constant)
        return ops.clip(per_image(factor[:, place]) * pixels + toward, 0.0, 255.0)

    # Unrolled, XLA would fuse the changes and compute each anew for the next one.
    return ops.fori_loop(first, end, change, pixels)


def turn_hue(pixels, turn):
    """Turns the hue of colour pixels, saturation and value kept.

    Args:
        pixels: float32 tensor `(batch, height, 3, width)`.
        turn: float32 tensor `(batch,)`, in whole turns; 0 leaves an image alone.

    Returns:
        float32 tensor like `pixels`.
    """
    ops = ops_for(pixels)
    turn = ops.reshape(turn, (-1, 1, 1))
    red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
    value = ops.maximum(red, ops.maximum(green, blue))
    least = ops.minimum(red, ops.minimum(green, blue))
    chroma = value - least
    inverse = 1.0 / ops.where(chroma > 0.0, chroma, 1.0)
    hue = ops.where(  # in sixths of a turn: red is at 0, green at 2, blue at -2
        red >= value,
        (green - blue) * inverse,
        ops.where(
            green >= value,
            (blue - red) * inverse + 2.0,
            (red - green) * inverse - 2.0,
        ),
    )
    hue = hue + 6.0 * turn
    hue = hue - 6.0 * ops.round(hue * (1.0 / 6.0))  # -3..3, where float32 is fine
    from_green, from_blue = ops.abs(hue - 2.0), ops.abs(hue + 2.0)
    share = ops.stack(
        [
            2.0 - ops.abs(hue),
            ops.maximum(2.0 - from_green, from_green - 4.0),
            ops.maximum(2.0 - from_blue, from_blue - 4.0),
        ],
        axis=2,
    )
    turned = least[:, :, None] + chroma[:, :, None] * ops.clip(share, 0.0, 1.0)
    return ops.where(per_image(turn) == 0.0, pixels, turned)
