"""What images must be, wherever they come in: shape, channels and range."""

import warnings

import numpy as np

# What rounds to 0..255.
LOW, HIGH = -0.5, 255.5
# What does not rise above it is as good as black.
BLACK = 2


def check_images(images: np.ndarray, channels=None) -> None:
    """Raises unless `images` are images of 0..255.

    Args:
        images: array `(n, height, width, channels)`.
        channels: int, how many channels they must have, or a tuple of choices.
            Defaults to `None`, any number.

    Raises:
        ValueError: for another shape or number of channels, and as `check_pixels`.
    """
    check_shape(images.shape, channels)
    check_pixels(images)


def check_views(views, channels=None) -> None:
    """Raises unless views are of the same images, and the first are images of 0..255.

    Args:
        views: sequence of arrays `(n, ...)`. Those after the first may be anything that
            is finite.
        channels: as in `check_images`.
    """
    if len({len(view) for view in views}) != 1:
        raise ValueError(
            "All views must be of the same images. "
            f"Received: arrays of {' and '.join(str(len(view)) for view in views)}"
        )
    for index, view in enumerate(views):
        if index == 0 or view.ndim == 4:
            check_images(view, channels)
        elif view.dtype.kind == "f" and not np.isfinite(view).all():
            _refuse_not_finite(view, "Data beside images must be finite")


def check_shape(shape, channels=None) -> None:
    """Raises unless a shape is that of images; see `check_images`.

    Args:
        shape: of an array, or of what a dataset will give, with `None` for a size
            that is not known.
        channels: as in `check_images`.
    """
    shape = tuple(shape)
    if len(shape) != 4:
        single = (
            "; single ones become batches by `images[None]` or `dataset.batch(256)`"
        )
        raise ValueError(
            "Images must have the shape (n, height, width, channels)"
            f"{single if len(shape) == 3 else ''}. "
            f"Received: an array of shape {shape}"
        )
    choices = channels if isinstance(channels, tuple) else (channels,)
    if None in (channels, shape[-1]) or shape[-1] in choices:
        return
    number = " or ".join(map(str, choices)).replace(" or ", ", ", len(choices) - 2)
    if shape[1] in choices:
        hint = ", not on the second: `np.moveaxis(images, 1, -1)` moves them"
    elif choices == (3,) and shape[-1] in (1, 4):
        hint = "; `kv.load_images(images)` makes RGB of grey and of transparent ones"
    else:
        hint = ""
    raise ValueError(
        f"Images must have {number} channels on the last axis{hint}. "
        f"Received: an array of shape {shape}"
    )


def check_pixels(pixels: np.ndarray) -> None:
    """Raises unless all numbers are finite and 0..255.

    uint8 always is, however dark. Other numbers may be as dark too, but fractions of
    which none is above 1 are images of 0..1, which an encoder would see as black; so
    are those up to 2 where some are negative, which a resize makes of 0..1. Whole
    numbers up to 1 and other numbers up to 2 are either, and give a warning.

    Args:
        pixels: array of any shape; its first axis are the images.

    Raises:
        ValueError: for NaN, infinity, another range, or what are no numbers.
    """
    if pixels.dtype == np.uint8 or not pixels.size:
        return
    if pixels.dtype.kind not in "iuf":
        raise ValueError(
            "Images must be uint8, or other numbers 0..255. "
            f"Received: an array of {pixels.dtype}"
        )
    low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        _refuse_not_finite(pixels)
    dark = high <= 1 or (low < 0 and high <= BLACK)
    if low < LOW or high > HIGH or (dark and (pixels != np.rint(pixels)).any()):
        raise ValueError(
            f"Images must be 0..255 ({_way_out(low, high)}). "
            f"Received: {pixels.dtype} from {low:g} to {high:g}"
        )
    if 0 < high <= BLACK:
        warnings.warn(
            f"Images must be 0..255, and of these no value is above {high:g}: "
            f"{_way_out(low, high)}.",
            stacklevel=3,
        )


def _way_out(low, high) -> str:
    if low < LOW:
        return "undo what was subtracted and divided, or clip what a resize has added"
    if high <= BLACK:
        return (
            "multiply images of 0..1 by 255; an encoder that wants 0..1 begins with "
            "`keras.layers.Rescaling(1 / 255)`"
        )
    return "scale them to that, or clip what a resize has added"


def _refuse_not_finite(rows, rule="Images must be finite, 0..255"):
    bad = ~np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
    raise ValueError(
        f"{rule}. Received: NaN or infinity in {bad.sum()} of {len(rows)} images, "
        f"the first at index {bad.argmax()}"
    )
