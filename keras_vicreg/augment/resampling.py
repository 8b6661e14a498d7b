"""Resizing a box of an image as matrices, with Pillow's antialiased filters."""

from keras_vicreg.augment.arrays import ops_for


def bicubic(ops, distance):
    """Keys' cubic with a = -0.5, of absolute distances; zero from 2 on."""
    outer = ops.relu(2.0 - distance)
    inner = ops.relu(1.0 - distance)
    return 0.5 * outer * outer * (outer - 1.0) + inner * inner * (1.0 - 2.0 * inner)


def bilinear(ops, distance):
    """The triangle, of absolute distances; zero from 1 on."""
    return ops.relu(1.0 - distance)


FILTERS = {"bicubic": bicubic, "bilinear": bilinear}


def resampling_matrix(start, length, full, size: int, interpolation: str):
    """The matrix that resizes one axis of a box of an image.

    The filter is widened where the box shrinks, and nothing outside the box counts.
    Distances between input and output pixels are fractions of exact integers, so
    that they agree on every backend.

    Args:
        start: float32 tensor `(batch,)`, the first pixel of the box.
        length: float32 tensor `(batch,)`, its length in pixels.
        full: int or scalar tensor, the length of the image.
        size: int, the length of the result.
        interpolation: a key of `FILTERS`.

    Returns:
        float32 tensor `(batch, full, size)`; each column sums to 1.
    """
    ops = ops_for(start)
    start, length = start[:, None, None], length[:, None, None]
    source = ops.arange(full, dtype="float32")[None, :, None] - start
    target = ops.arange(size, dtype="float32")[None, None, :]
    # Twice the distance of the pixels' centres, in units of 1 / size.
    distance = ops.abs((2.0 * target + 1.0) * length - (2.0 * source + 1.0) * size)
    weights = FILTERS[interpolation](ops, distance / (2.0 * ops.maximum(length, size)))
    inside = ops.logical_and(source >= 0.0, source < length)
    weights = ops.where(inside, weights, 0.0)
    return weights / ops.sum(weights, axis=1, keepdims=True)


def resize(pixels, columns, rows):
    """Applies one matrix along the width, then one along the height.

    Args:
        pixels: float32 tensor `(batch, height, channels, width)`.
        columns: float32 tensor `(batch, width, new_width)`.
        rows: float32 tensor `(batch, height, new_height)`.

    Returns:
        float32 tensor `(batch, new_height, channels, new_width)`, within 0..255
        after each of the two steps, as Pillow's 8-bit intermediate is.
    """
    ops = ops_for(pixels)
    _, height, channels, width = ops.shape(pixels)
    new_width, new_height = columns.shape[2], rows.shape[2]
    wide = ops.reshape(pixels, (-1, height * channels, width))
    wide = ops.clip(ops.matmul(wide, columns), 0.0, 255.0)
    tall = ops.reshape(wide, (-1, height, channels * new_width))
    tall = ops.clip(ops.matmul(ops.transpose(rows, (0, 2, 1)), tall), 0.0, 255.0)
    return ops.reshape(tall, (-1, new_height, channels, new_width))
