"""A picture of images beside their views, to see what an encoder will see."""

import keras
import numpy as np

BETWEEN_VIEWS = 2
BETWEEN_IMAGES = 10


def preview(images, views, columns: int = 4) -> np.ndarray:
    """Lays out images in a grid, each with its views to its right.

    Args:
        images: array `(count, height, width, channels)`, 0..255, with 1 or 3
            channels.
        views: sequence of arrays `(count, view_height, view_width, channels)`,
            0..255, such as `kv.TwoViews` gives for these images.
        columns: int, how many images stand side by side. Defaults to `4`.

    Returns:
        uint8 array `(grid_height, grid_width, 3)` on white. The original is scaled
        into the size of the first view, its shape kept.

    Raises:
        ValueError: if the numbers of images and views differ, or there are none.

    Example:

    >>> images = np.random.randint(0, 256, (8, 48, 64, 3), "uint8")
    >>> preview(images, kv.TwoViews(32)(images)).shape
    (74, 430, 3)
    """
    views = [keras.ops.convert_to_numpy(view) for view in views]
    counts = [len(images), *(len(view) for view in views)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ValueError(
            "`images` and every one of `views` must hold the same number of images, "
            f"at least 1. Received: {counts[0]} images, views of {counts[1:]}"
        )
    cell = views[0].shape[1:3]
    rows = [fit(np.asarray(images), cell), *views]
    widths = [cell[1], *(view.shape[2] for view in views)]
    starts = np.cumsum([0, *(width + BETWEEN_VIEWS for width in widths)])
    group = (cell[0] + BETWEEN_IMAGES, starts[-1] - BETWEEN_VIEWS + BETWEEN_IMAGES)
    columns = min(columns, counts[0])
    lines = -(-counts[0] // columns)
    grid = np.full((lines * group[0], columns * group[1], 3), 255, "uint8")
    for index in range(counts[0]):
        top = index // columns * group[0]
        for start, batch in zip(starts, rows, strict=False):
            picture = batch[index]
            left = index % columns * group[1] + start
            height, width = picture.shape[:2]
            grid[top : top + height, left : left + width] = _to_uint8(picture)
    return grid[: -BETWEEN_IMAGES or None, :-BETWEEN_IMAGES]


def fit(images, cell):
    """Scales images into a cell, their shape kept."""
    height, width = images.shape[1:3]
    scale = min(cell[0] / height, cell[1] / width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    pixels = keras.ops.convert_to_tensor(images.astype("float32"))
    scaled = keras.ops.image.resize(pixels, size, "bicubic", antialias=True)
    return keras.ops.convert_to_numpy(scaled)


def _to_uint8(picture):
    """Rounded to 0..255; one channel becomes three by broadcasting."""
    return np.clip(np.round(picture), 0, 255).astype("uint8")
