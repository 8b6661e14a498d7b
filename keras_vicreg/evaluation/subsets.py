"""Subsets of images: stratified and seeded, or evenly spaced."""

import numpy as np

from keras_vicreg.data.in_memory import as_images


def stratified_subset(labels, fraction: float, seed: int = 0) -> np.ndarray:
    """Chooses a share of the images of every class at random.

    The choice depends on labels, fraction and seed alone: it is the same on every
    backend.

    Args:
        labels: array `(n,)`, integers.
        fraction: float, more than 0, at most 1. Of each class, the rounded share is
            taken, and at least one image.
        seed: int. Defaults to 0.

    Returns:
        Ascending indices of the chosen images, int64.

    Raises:
        ValueError: if `fraction` is out of its range.

    Example:

    >>> stratified_subset([0, 0, 0, 0, 1, 1], 0.5)
    array([0, 2, 5])
    """
    if not 0 < fraction <= 1:
        raise ValueError(
            "`fraction` must be more than 0 and at most 1. "
            f"Received: fraction={fraction!r}"
        )
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    chosen = []
    for each in np.unique(labels):
        members = np.flatnonzero(labels == each)
        count = max(1, round(fraction * len(members)))
        chosen.append(rng.permutation(members)[:count])
    return np.sort(np.concatenate(chosen))


def evenly(arrays, count: int) -> tuple:
    """At most `count` evenly spaced rows of arrays of equal length.

    Args:
        arrays: tuple of arrays `(n, ...)`, such as images and labels.
        count: int, at least 1.

    Returns:
        A tuple of arrays, their first and their last row among them.

    Raises:
        ValueError: if `count` is out of its range.
    """
    if type(count) is not int or count < 1:
        raise ValueError(
            f"The number of images must be a positive integer. Received: {count!r}"
        )
    size = len(arrays[0])
    rows = np.linspace(0, size - 1, min(count, size)).round().astype(int)
    return tuple(as_images(array)[rows] for array in arrays)
