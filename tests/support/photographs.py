"""Random pictures as files: smooth ones, as photographs are, and tiny noise."""

import numpy as np
import toys
from PIL import Image

SIZE = 16  # height and width of the noise, in pixels


def photograph(seed=0, size=(40, 30)):
    """A smooth random picture, as photographs are; `size` is (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype="uint8")
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def save_images(folder, count, seed=0, classes=()):
    """Writes noise of 16 px, image after image into the folders of the classes.

    The images of a class are brighter in a channel of their own, so that a network
    can tell them apart. Without classes the folder is flat.
    """
    for index, pixels in enumerate(toys.images(count, SIZE, seed) // 2):
        label = ""
        if classes:
            label = classes[index % len(classes)]
            pixels[:, :, index % len(classes)] += 90
        write(folder / label / f"{index:02}.png", Image.fromarray(pixels))
    return folder


def save_splits(folder, counts, classes=("class0", "class1")):
    """`save_images` of every split; `counts` maps the split to how many it has."""
    for seed, (split, count) in enumerate(counts.items()):
        save_images(folder / split, count, seed, classes)
    return folder
