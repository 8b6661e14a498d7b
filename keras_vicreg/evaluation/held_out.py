"""The images that an encoder is measured on: those of a split, or some of train."""

import contextlib

import numpy as np

import keras_vicreg as kv
from keras_vicreg.data.in_memory import as_images
from keras_vicreg.data.splits import split_of
from keras_vicreg.evaluation.subsets import stratified_subset

# The first that is there and has labels. Of ImageNet that is the second.
TESTED = ("test", "validation")


def held_out_split(source, data_dir: str | None = None) -> str | None:
    """The labelled split that results are measured on: test, or else validation.

    Args:
        source: as in `kv.load_images`.
        data_dir: as there.

    Returns:
        A name of `TESTED`, or `None` where there is neither, or none with labels.
    """
    for split in TESTED:
        with contextlib.suppress(ValueError):  # a source without that split
            if kv.class_names(source, split, data_dir=data_dir) is not None:
                return split
    return None


def check_held_out(split: str) -> str:
    """The usual name of a split, `"validation"` of `"val2017"`, if it can be tested.

    Raises:
        ValueError: if it is the one that labels are learnt from, or holds it.
    """
    name = split_of(split) or split
    if name in ("train", "all"):
        raise ValueError(
            "`split` must be another than train, whose labels are learnt. "
            f"Received: split={split!r}"
        )
    return name


def hold_out(images, labels, share: float, seed: int = 0) -> tuple[tuple, tuple]:
    """Labelled images in two parts, with the same classes in each.

    Args:
        images: array `(n, ...)`, or a list of images.
        labels: array `(n,)`, integers.
        share: float, more than 0, less than 1, how much of each class, rounded, is
            held out; at least an image, and at most all but one.
        seed: int. Which they are depends on labels, share and seed alone. Defaults
            to 0.

    Returns:
        Two pairs `(images, labels)`: the rest, and what is held out.

    Raises:
        ValueError: if `share` is out of its range, or a class has one image.
    """
    if not 0 < share < 1:
        raise ValueError(
            "`validation_split` must be more than 0 and less than 1. "
            f"Received: validation_split={share!r}"
        )
    images, labels = as_images(images), np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            "`validation_split` needs two images of each class. Received: "
            f"{(counts < 2).sum()} of {len(classes)} classes with one image"
        )
    held = np.zeros(len(labels), bool)
    held[stratified_subset(labels, share, seed)] = True
    for each in classes:
        members = np.flatnonzero(labels == each)
        if held[members].all():
            held[members[0]] = False
    return (images[~held], labels[~held]), (images[held], labels[held])
