"""Sources of images -> arrays, or batches that are read while training runs."""

import itertools
import numbers
import os
import sys
from pathlib import Path

import numpy as np

from keras_vicreg.data.adapted import adapt
from keras_vicreg.data.arrays import open_arrays
from keras_vicreg.data.folder_report import warn_of_lost
from keras_vicreg.data.folders import ImageFolder
from keras_vicreg.data.hugging_face import (
    is_rows,
    is_saved,
    open_hugging_face,
    open_rows,
    open_saved,
)
from keras_vicreg.data.image_files import ImageReader
from keras_vicreg.data.in_memory import as_images, in_memory
from keras_vicreg.data.rgb import resized
from keras_vicreg.data.sources import ImageSource, listed, open_tfds, read_sample
from keras_vicreg.data.splits import split_of
from keras_vicreg.data.streams import import_tensorflow, stream
from keras_vicreg.data.unreadable import MOST, Unreadable


def load_images(
    source,
    image_size: int | tuple[int, int] | None = None,
    split: str = "train",
    labels: bool = False,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    shuffle: bool | None = None,
    max_unreadable: float | None = None,
    data_dir: str | None = None,
):
    """Loads images, as an array or as a stream of batches.

    Files are decoded by Pillow to RGB 0..255: greyscale and palette images are
    converted, 16 bits, or 12 where the file says so, scaled to 8, transparency is laid
    on white, an animation gives its first frame, the EXIF orientation is applied.
    16-bit files that fill no more than the range of a sensor are named in a warning. A
    file that cannot be read is named in a warning and left out.

    Args:
        source: one of

            - `"sample"`: 3,781 photographs of clothes, 64 x 64 px, 10 classes, CC0,
              part of the package;
            - a folder: images in class sub-folders, or unlabelled, flat or nested; with
              sub-folders for train, validation or test, under any usual name (Train/,
              val2017/, test_set/), `split` chooses among them, without, all of it is
              the train split. Folders without images and hidden ones are no classes, a
              folder that links lead to is read once, and a picture that is left out
              is named in a warning;
            - `"tfds:NAME"`: a data set of TensorFlow Datasets;
            - `"hf:NAME"`: a data set of the Hugging Face Hub (`pip install datasets`);
              or a `datasets.Dataset` or `DatasetDict`, or a folder of `save_to_disk`;
            - an array or a tensor `(n, height, width, channels)`, uint8 or float
              0..255, with 1, 3 or 4 channels; a list of such images, of Pillow's, or
              of names of files; or a pair `(images, labels)`;
            - a `tf.data.Dataset` of images or batches of them, alone, with labels or
              in a dict, which stays one and keeps its order.
        image_size: height and width in px, or `(height, width)`: images are resized to
            cover it (bicubic, antialiased) and their centre is cropped. Defaults to
            `None`, the size they have, which must then be the same for all.
        split: `"train"`, `"validation"`, `"test"`, `"all"`, or any that the source
            has, in any usual spelling. Defaults to `"train"`.
        labels: whether to load the labels too. Defaults to `False`.
        batch_size: with it, the images are not held in memory but streamed: for any
            number of files. Needs TensorFlow. Defaults to `None`.
        seed: int, seed of the order of the train split's stream. Defaults to 0.
        shuffle: whether a stream is of complete batches, shuffled anew each epoch.
            Defaults to `None`: that of the train split is, others are not.
        max_unreadable: share of the files that may be unreadable, 0 to 1, before it is
            an error. Defaults to `None`: a half in a shuffled stream, where others
            fill the gaps, as long as they make a batch, and all but one else.
        data_dir: folder where TensorFlow Datasets or `datasets` keeps its data.

    Returns:
        Without `batch_size`, an array `(n, height, width, 3)`, uint8, or with
        `labels=True` a pair of it and the integer labels `(n,)`.

        With `batch_size`, a `tf.data.Dataset` of such batches. Shuffled, it leaves the
        n % batch_size last images of each order out; else it is whole and in order.

    Raises:
        ValueError: for a source that does not exist, holds no images, or has no labels
            when they are asked for; for images that are not finite or not in 0..255,
            in an array or at the beginning of a dataset; for images of several sizes
            without `image_size`; for too many files that cannot be read.

    Example:

    >>> images, labels = kv.load_images("sample", image_size=32, labels=True)
    >>> images.shape, labels.shape
    ((3068, 32, 32, 3), (3068,))
    >>> batches = kv.load_images("photographs/", image_size=224, batch_size=256)
    """
    image_size = _checked_size(image_size)
    train = split_of(split) == "train" if shuffle is None else shuffle
    if max_unreadable is None:
        max_unreadable = MOST if train and batch_size is not None else 1
    if _is_dataset(source):
        return adapt(
            source, image_size, labels=labels, train=train, batch_size=batch_size
        )
    opened = _open(source, split, data_dir, warn=True)
    if labels and _names_or_labels(opened) is None:
        raise ValueError(
            "`labels=True` needs a source with labels: sub-folders named for the "
            "classes, a labelled data set, or a pair (images, labels). "
            f"Received: {_describe(source)}, which has none"
        )
    if batch_size is None:
        images, numbers, _ = _load(opened, image_size, max_unreadable)
        return (images, numbers) if labels else images
    import_tensorflow()
    least = batch_size if train else 1
    return stream(
        *_chunks(opened, image_size, batch_size, max_unreadable, least),
        labels=labels,
        train=train,
        batch_size=batch_size,
        seed=seed,
    )


def class_names(source, split: str = "train", *, data_dir: str | None = None):
    """Gives the names of the labels that `load_images` numbers.

    Args:
        source: as in `load_images`: `"sample"`, a folder, `"tfds:NAME"`, `"hf:NAME"`.
        split: as in `load_images`. Defaults to `"train"`.
        data_dir: as in `load_images`.

    Returns:
        Tuple of strings, or `None` for a source without class names: an unlabelled
        folder, an array, a `tf.data.Dataset`.

    Example:

    >>> kv.class_names("sample")[:3]
    ('dress', 'hat', 'longsleeve')
    """
    if _is_dataset(source):
        return None
    opened = _open(source, split, data_dir)
    return opened.class_names if isinstance(opened, ImageSource) else opened[2]


def load_named(source, image_size, split: str, *, data_dir: str | None = None) -> tuple:
    """Loads images as `load_images` does, with what else is known of each.

    Args:
        source: as in `load_images`, but no `tf.data.Dataset`.
        image_size: as in `load_images`.
        split: as in `load_images`.
        data_dir: as in `load_images`.

    Returns:
        A triple: the images; their labels, or `None` where there are none; the names
        of their files or records, or `None` where they have none.
    """
    opened = _open(source, split, data_dir, warn=True)
    images, labels, unreadable = _load(opened, _checked_size(image_size))
    labels = None if _names_or_labels(opened) is None else labels
    if unreadable is None:
        return images, labels, None
    names = [str(name) for name, *_ in opened.records(None) if name not in unreadable]
    return images, labels, names


def _is_dataset(source) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(source, tensorflow.data.Dataset)


def _open(source, split, data_dir, warn=False):
    """An `ImageSource`, or `(images, labels or None, class names or None)`."""
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        if name == "sample":
            return read_sample(split)
        if name.startswith("tfds:"):
            return open_tfds(name.removeprefix("tfds:"), split, data_dir)
        if name.startswith("hf:"):
            return open_hugging_face(name.removeprefix("hf:"), split, data_dir)
        path = Path(name).expanduser()
        if is_saved(path):
            return open_saved(path, split)
        if path.is_dir():
            folder = ImageFolder(path)
            if warn:
                warn_of_lost(folder)
            return folder.source(split)
        state = "a file" if path.exists() else "no such folder"
        raise ValueError(
            "`source` must be 'sample', a folder of images, 'tfds:NAME', 'hf:NAME', an "
            f"array or a tf.data.Dataset. Received: source={name!r} ({state})"
        )
    pair = isinstance(source, tuple) and len(source) == 2
    images, labels = source if pair else (source, None)
    if _are_files(images):
        return listed([(str(name), str(name), -1) for name in images], None)
    if in_memory(images):
        return *open_arrays(images, labels), None
    if is_rows(source):
        return open_rows(source, split)
    raise ValueError(
        "`source` must be 'sample', a folder of images, 'tfds:NAME', 'hf:NAME', an "
        f"array, a list or a tf.data.Dataset. Received: a {type(source).__name__}"
    )


def _are_files(images) -> bool:
    names = isinstance(images, list) and images
    return bool(names) and all(isinstance(name, (str, os.PathLike)) for name in images)


def _names_or_labels(opened):
    return opened.class_names if isinstance(opened, ImageSource) else opened[1]


def _describe(source) -> str:
    named = isinstance(source, (str, os.PathLike))
    return f"source={os.fspath(source)!r}" if named else f"a {type(source).__name__}"


def _checked_size(image_size):
    if image_size is None:
        return None
    size = image_size if np.ndim(image_size) else (image_size, image_size)
    whole = all(isinstance(side, numbers.Integral) and side > 0 for side in size)
    if len(size) != 2 or not whole:
        raise ValueError(
            "`image_size` must be a positive integer, (height, width) or None. "
            f"Received: image_size={image_size!r}"
        )
    return tuple(map(int, size))


def _load(opened, image_size, max_unreadable: float = 1) -> tuple:
    """All images as an array, their labels, and the files that were unreadable."""
    unreadable = None
    if isinstance(opened, ImageSource):
        unreadable = Unreadable(opened.count, max_unreadable)
        reader = ImageReader(image_size, unreadable)
        chunks = reader.read_in_chunks(opened.records(None), 1024)
        pairs = list(itertools.chain.from_iterable(chunks))
        if not pairs:
            raise _none_readable(opened)
        unreadable.check()
        images = np.stack([image for image, _ in pairs])
        numbers = np.array([label for _, label in pairs], "int64")
    else:
        images, numbers, _ = opened
        images = as_images(resized(images, image_size))
    return images, numbers, unreadable


def _none_readable(opened: ImageSource) -> ValueError:
    return ValueError(
        "`source` must hold images that can be read. "
        f"Received: {opened.count} images, none of them readable"
    )


def _chunks(opened, image_size, batch_size, max_unreadable: float, least: int):
    """What `stream` reads, how many images there are, and the shape of each."""
    if isinstance(opened, ImageSource):
        unreadable = Unreadable(opened.count, max_unreadable, least)
        reader = ImageReader(image_size, unreadable)
        chunks = reader.read_in_chunks(opened.records(None), 16)
        first = next(filter(None, chunks), None)
        if first is None:
            raise _none_readable(opened)

        def from_files(seed):
            for pairs in reader.read_in_chunks(opened.records(seed), batch_size):
                unreadable.check()
                yield pairs

        return from_files, opened.count, first[0][0].shape
    images, labels, _ = _load(opened, image_size)
    if labels is None:
        labels = np.full(len(images), -1)

    def from_array(seed):
        order = np.arange(len(images))
        if seed is not None:
            order = np.random.default_rng(seed).permutation(len(images))
        for start in range(0, len(images), batch_size):
            rows = order[start : start + batch_size]
            yield list(zip(images[rows], labels[rows]))

    return from_array, len(images), images.shape[1:]
