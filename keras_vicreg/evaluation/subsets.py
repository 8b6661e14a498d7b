"""Subsets of images: stratified and seeded, or evenly spaced."""

import warnings

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

    Warns where the share of a class is less than one image.

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
    chosen, short = [], 0
    classes = np.unique(labels)
    for each in classes:
        members = np.flatnonzero(labels == each)
        count = round(fraction * len(members))
        short += count < 1
        chosen.append(rng.permutation(members)[: max(1, count)])
    if short:
        warnings.warn(
            f"{fraction:g} of the labels is less than one image of {short} of "
            f"{len(classes)} classes; of each of them one image is taken.",
            stacklevel=2,
        )
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
