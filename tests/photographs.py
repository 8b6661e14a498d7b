"""Smooth random pictures, as arrays and as files."""

import numpy as np
from PIL import Image


def photograph(seed=0, size=(40, 30)):
    """A smooth random picture, as photographs are; `size` is (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype="uint8")
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
