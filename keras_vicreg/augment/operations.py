"""RandomOperations."""

import math

import keras

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.color import grey
from keras_vicreg.augment.layer import Augmentation, per_image

(
    IDENTITY,
    AUTOCONTRAST,
    ROTATE,
    SHEAR_X,
    SHEAR_Y,
    TRANSLATE_X,
    TRANSLATE_Y,
    COLOR,
    CONTRAST,
    BRIGHTNESS,
    SHARPNESS,
    SOLARIZE,
    POSTERIZE,
) = range(13)
ANGLE, SHEAR, SHIFT = math.radians(30), 0.1, 0.1
FACTORS = (0.05, 0.95)
BITS = (4, 7)
SMOOTH = (1 / 13, 5 / 13)  # of a pixel's neighbours and of itself, in Pillow's SMOOTH
WIDE = 64  # px: up to this side the cut is at most a half of it, above a third


@keras.saving.register_keras_serializable(package="keras_vicreg")
class RandomOperations(Augmentation):
    """Changes an image by several operations drawn for it, and cuts a square out.

    Each operation is one of thirteen of Pillow, with a strength of its own: none,
    autocontrast, rotation up to 30 degrees, shears and translations up to a tenth,
    colour, contrast, brightness and sharpness with factors of 0.05 to 0.95,
    solarization from any value on, 4 to 7 bits. The square is up to half a side (above
    64 pixels a third), anywhere. Unlike in `keras.layers.RandAugment` every image has
    operations of its own. The authors' fourteenth, the equalization of the histogram,
    is left out.

    Images that have not three channels keep their colour where there is none.

    Args:
        operations: int, how many an image undergoes. Defaults to `4`.
        fill: float, 0..255, what the cut square is filled with. Defaults to `120`,
            the mean of CIFAR-10.
        seed: optional int.
        **kwargs: see `keras.layers.Layer`.

    Parameters of `draw` and `apply`: `operation`, int32 `(batch, operations)`;
    `strength`, 0..1, float32, the same shape; `cut`, float32 `(batch, 4)`, first and
    last edge of the square in y and x, pixels.

    Example:

    >>> images = np.random.randint(0, 256, (8, 32, 32, 3), "uint8")
    >>> kv.augment.RandomOperations()(images).shape
    (8, 32, 32, 3)

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, section 3.1; Cubuk et al.,
        "RandAugment", 2020; DeVries and Taylor, "Cutout", 2017.
    """

    def __init__(self, operations: int = 4, fill: float = 120.0, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        if type(operations) is not int or operations < 1:
            raise ValueError(
                "`operations` must be a positive integer. "
                f"Received: operations={operations!r}"
            )
        if not isinstance(fill, (int, float)) or not 0 <= fill <= 255:
            raise ValueError(
                f"`fill` must be a number from 0 to 255. Received: fill={fill!r}"
            )
        self.operations, self.fill = operations, fill
        self.numbers = 2 * operations + 3

    def parameters(self, numbers, image_shape):
        ops = ops_for(numbers)
        drawn, strength = numbers[:, : self.operations], numbers[:, self.operations :]
        count = POSTERIZE + 1
        operation = ops.cast(ops.floor(drawn * count), "int32")
        height, width = (ops.cast(side, "float32") for side in image_shape)
        shorter = ops.minimum(height, width)
        most = ops.floor(shorter / ops.where(shorter > WIDE, 3.0, 2.0))
        half = ops.floor((1 + ops.floor(numbers[:, -3] * most)) / 2)
        y = ops.floor(numbers[:, -2] * height)
        x = ops.floor(numbers[:, -1] * width)
        return {
            "operation": operation,
            "strength": strength[:, : self.operations],
            "cut": ops.stack([y - half, y + half, x - half, x + half], axis=1),
        }

    def transform(self, pixels, parameters):
        ops = ops_for(pixels)
        operation, strength = parameters["operation"], parameters["strength"]

        def change(place, pixels):
            return operate(pixels, operation[:, place], strength[:, place])

        # As a loop: unrolled, XLA computes each anew for what follows.
        pixels = ops.fori_loop(0, self.operations, change, pixels)
        return ops.where(inside(pixels, parameters["cut"]), self.fill, pixels)

    def get_config(self):
        return {
            **super().get_config(),
            "operations": self.operations,
            "fill": self.fill,
        }


def operate(pixels, operation, strength):
    """One operation an image.

    Args:
        pixels: float32 tensor `(batch, height, channels, width)`.
        operation: int32 tensor `(batch,)`, of the thirteen.
        strength: float32 tensor `(batch,)`, 0..1.

    Returns:
        float32 tensor like `pixels`, 0..255.
    """
    ops = ops_for(pixels)
    made = moved(pixels, operation, strength)
    made = blended(made, operation, strength)
    drawn = per_image(operation)
    threshold = per_image(256.0 * strength)
    inverted = ops.where(made >= threshold, 255.0 - made, made)
    made = ops.where(drawn == SOLARIZE, inverted, made)
    made = ops.where(drawn == POSTERIZE, posterized(made, strength), made)
    return ops.where(drawn == AUTOCONTRAST, stretched(made), made)


def moved(pixels, operation, strength):
    """Rotations, shears and translations: the nearest pixel, black outside."""
    ops = ops_for(pixels)
    batch, height, channels, width = ops.shape(pixels)
    signed = 2.0 * strength - 1.0

    def drawn(number, most):
        return ops.where(operation == number, most * signed, 0.0)[:, None, None]

    tall, wide = (ops.cast(side, "float32") for side in (height, width))
    angle = drawn(ROTATE, ANGLE)
    # From the middle of a pixel, measured for a rotation from that of the image.
    y = ops.arange(height, dtype="float32")[None, :, None] + 0.5
    x = ops.arange(width, dtype="float32")[None, None, :] + 0.5
    cosine, sine = ops.cos(angle), ops.sin(angle)
    middle_y, middle_x = tall / 2, wide / 2
    from_x = (
        cosine * (x - middle_x)
        - sine * (y - middle_y)
        + middle_x
        + drawn(SHEAR_X, SHEAR) * y
        + wide * drawn(TRANSLATE_X, SHIFT)
    )
    from_y = (
        cosine * (y - middle_y)
        + sine * (x - middle_x)
        + middle_y
        + drawn(SHEAR_Y, SHEAR) * x
        + tall * drawn(TRANSLATE_Y, SHIFT)
    )
    row, column = ops.floor(from_y), ops.floor(from_x)
    known = ops.logical_and(
        ops.logical_and(row >= 0, row < tall),
        ops.logical_and(column >= 0, column < wide),
    )
    place = ops.clip(row, 0.0, tall - 1) * wide + ops.clip(column, 0.0, wide - 1)
    place = ops.reshape(ops.cast(place, "int32"), (-1, 1, height * width))
    flat = ops.reshape(
        ops.transpose(pixels, (0, 2, 1, 3)), (batch, channels, height * width)
    )
    found = ops.take_along_axis(flat, ops.repeat(place, channels, axis=1), axis=2)
    found = ops.reshape(found, (batch, channels, height, width))
    return ops.where(known[:, :, None], ops.transpose(found, (0, 2, 1, 3)), 0.0)


def blended(pixels, operation, strength):
    """Colour, contrast, brightness, sharpness: a share of each image stays."""
    ops = ops_for(pixels)
    shade = grey(pixels) if pixels.shape[2] == 3 else pixels
    constant = ops.mean(shade, axis=(1, 2, 3), keepdims=True)
    drawn = per_image(operation)
    toward = ops.where(drawn == COLOR, shade, 0.0)
    toward = ops.where(drawn == CONTRAST, constant, toward)
    toward = ops.where(drawn == SHARPNESS, smoothed(pixels), toward)
    low, high = FACTORS
    some = ops.logical_and(drawn >= COLOR, drawn <= SHARPNESS)
    factor = ops.where(some, per_image(low + (high - low) * strength), 1.0)
    return factor * pixels + (1.0 - factor) * toward


def smoothed(pixels):
    """The weighted mean of the nine pixels around each; the border stays."""
    ops = ops_for(pixels)
    _, height, _, width = ops.shape(pixels)
    rows = sum(pixels[:, dy : height - 2 + dy] for dy in range(3))
    nine = sum(rows[..., dx : width - 2 + dx] for dx in range(3))
    inner = pixels[:, 1:-1, :, 1:-1]
    neighbour, itself = SMOOTH
    inner = neighbour * nine + (itself - neighbour) * inner
    middle = ops.concatenate(
        [pixels[:, 1:-1, :, :1], inner, pixels[:, 1:-1, :, -1:]], 3
    )
    return ops.concatenate([pixels[:, :1], middle, pixels[:, -1:]], 1)


def posterized(pixels, strength):
    """As many bits as are drawn of each image's values."""
    ops = ops_for(pixels)
    least, most = BITS
    bits = least + ops.floor((most - least + 1) * strength)
    step = per_image(ops.exp((8.0 - bits) * math.log(2)))
    step = ops.round(step)
    return ops.floor(pixels / step) * step


def stretched(pixels):
    """Each channel of each image stretched to 0..255, unless it is of one value."""
    ops = ops_for(pixels)
    low = ops.min(ops.min(pixels, axis=3, keepdims=True), axis=1, keepdims=True)
    high = ops.max(ops.max(pixels, axis=3, keepdims=True), axis=1, keepdims=True)
    spread = high - low
    scale = ops.where(spread > 0.0, 255.0 / ops.where(spread > 0.0, spread, 1.0), 1.0)
    made = ops.minimum((pixels - low) * scale, 255.0)
    return ops.where(spread > 0.0, made, pixels)


def inside(pixels, cut):
    """Where the pixels of each image are in its square, bool `(batch, h, 1, w)`."""
    ops = ops_for(pixels)
    _, height, _, width = ops.shape(pixels)
    y = ops.arange(height, dtype="float32")[None, :, None, None]
    x = ops.arange(width, dtype="float32")[None, None, None, :]
    top, bottom, left, right = (per_image(cut[:, i]) for i in range(4))
    return ops.logical_and(
        ops.logical_and(y >= top, y < bottom), ops.logical_and(x >= left, x < right)
    )
