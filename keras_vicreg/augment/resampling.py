"""Resizing and blurring as matrices along the two axes of an image."""

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.devices.precision import full_precision

# Products are of pixels less this: numbers half as large have half the rounding error,
# and what weights do not sum to 1 by falls on less.
MIDDLE = 127.5

# Width of the blocks in which a banded product skips the zeros of its matrix.
BLOCK = 32


def bicubic(ops, distance):
    """Keys' cubic with a = -0.5, of absolute distances; zero from 2 on."""
    outer = ops.relu(2.0 - distance)
    inner = ops.relu(1.0 - distance)
    return 0.5 * outer * outer * (outer - 1.0) + inner * inner * (1.0 - 2.0 * inner)


def bilinear(ops, distance):
    """The triangle, of absolute distances; zero from 1 on."""
    return ops.relu(1.0 - distance)


FILTERS = {"bicubic": bicubic, "bilinear": bilinear}


def filter_weights(ops, source, target, length, size: int, interpolation: str):
    """What pixels of a box weigh in the pixels of the resized box, as on Pillow.

    The filter is widened where the box shrinks, and nothing outside the box counts.
    Distances are fractions of exact integers, so that all backends agree.

    Args:
        ops: namespace of array functions.
        source: float32 tensor `(..., sources, 1)`, pixel numbers within the box.
        target: float32 tensor `(..., 1, targets)`, pixel numbers of the result.
        length: float32 tensor that broadcasts, the length of the box.
        size: int, the length of the result.
        interpolation: a key of `FILTERS`.

    Returns:
        float32 tensor `(..., sources, targets)`; each column sums to 1.
    """
    # Twice the distance of the pixels' centres, in units of 1 / size.
    distance = ops.abs((2.0 * target + 1.0) * length - (2.0 * source + 1.0) * size)
    weights = FILTERS[interpolation](ops, distance / (2.0 * ops.maximum(length, size)))
    inside = ops.logical_and(source >= 0.0, source < length)
    weights = ops.where(inside, weights, 0.0)
    return weights / ops.sum(weights, axis=-2, keepdims=True)


def resampling_matrix(start, length, full, size: int, interpolation: str):
    """The matrix that resizes one axis of a box of an image.

    Args:
        start: float32 tensor `(batch,)`, the first pixel of the box.
        length: float32 tensor `(batch,)`, its length in pixels.
        full: int or scalar tensor, the length of the image.
        size: int, the length of the result.
        interpolation: a key of `FILTERS`.

    Returns:
        float32 tensor `(batch, full, size)`.
    """
    ops = ops_for(start)
    source = ops.arange(full, dtype="float32")[None, :, None] - start[:, None, None]
    target = ops.arange(size, dtype="float32")[None, None, :]
    length = length[:, None, None]
    return filter_weights(ops, source, target, length, size, interpolation)


def product(left, right):
    """The matrix product of float32 tensors, in float32 on every device."""
    with full_precision():
        return ops_for(left).matmul(left, right)


def along_axes(pixels, columns, rows, reach: int | None = None):
    """Applies one matrix along the width, then one along the height.

    Args:
        pixels: float32 tensor `(batch, height, channels, width)`.
        columns: float32 tensor `(batch, width, new_width)`.
        rows: float32 tensor `(batch, height, new_height)`.
        reach: optional int, the distance from the diagonal beyond which both
            matrices, then square, are zero.

    Returns:
        float32 tensor `(batch, new_height, channels, new_width)`, within 0..255
        after each of the two steps, as Pillow's 8-bit intermediate is.
    """
    ops = ops_for(pixels)
    _, height, channels, width = ops.shape(pixels)
    new_width, new_height = ops.shape(columns)[2], ops.shape(rows)[2]
    wide = ops.reshape(pixels - MIDDLE, (-1, height * channels, width))
    wide = ops.concatenate(
        [
            product(wide[:, :, band], columns[:, band, block])
            for band, block in _bands(new_width, reach)
        ],
        axis=2,
    )
    tall = ops.reshape(
        ops.clip(wide, -MIDDLE, MIDDLE), (-1, height, channels * new_width)
    )
    rows = ops.transpose(rows, (0, 2, 1))
    tall = ops.concatenate(
        [
            product(rows[:, block, band], tall[:, band])
            for band, block in _bands(new_height, reach)
        ],
        axis=1,
    )
    return ops.reshape(
        ops.clip(tall, -MIDDLE, MIDDLE) + MIDDLE, (-1, new_height, channels, new_width)
    )


def _bands(size, reach: int | None):
    """Slices of input and output whose products make up a banded product."""
    if reach is None or not isinstance(size, int):
        return [(slice(None), slice(None))]
    return [
        (
            slice(max(0, start - reach), min(size, start + BLOCK + reach)),
            slice(start, min(size, start + BLOCK)),
        )
        for start in range(0, size, BLOCK)
    ]
