"""Where images lie: the embedded sample, TensorFlow Datasets.

Each function opens one kind of place and gives an `ImageSource`.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from keras_vicreg.data.splits import find_split
from keras_vicreg.data.untuned import untuned

SAMPLE = Path(__file__).parents[1] / "sample"


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """Images that are read when they are asked for.

    Attributes:
        count: number of images, readable or not.
        records: function of a seed, integers or `None` for the natural order, that
            iterates over `(name, path or encoded bytes, label)`.
        class_names: names of the labels, or `None` without labels.
    """

    count: int
    records: Callable[[tuple | None], Iterator[tuple]]
    class_names: tuple[str, ...] | None


def listed(records: list[tuple], class_names) -> ImageSource:
    """A source whose records are all at hand."""

    def in_order(seed):
        order = np.arange(len(records))
        if seed is not None:
            order = np.random.default_rng(seed).permutation(len(records))
        return (records[index] for index in order)

    return ImageSource(len(records), in_order, class_names)


def read_sample(split: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Decodes the embedded sample: images `(n, 64, 64, 3)`, labels, class names."""
    from PIL import Image

    index = json.loads((SAMPLE / "index.json").read_text())
    known = list(index["labels"])
    splits = known if split == "all" else [find_split(split, known)]
    if None in splits:
        raise ValueError(
            f"`split` of the sample must be one of {[*known, 'all']}. "
            f"Received: split={split!r}"
        )
    size, images, labels = index["image_size"], [], []
    for name in splits:
        mosaic = np.asarray(Image.open(SAMPLE / f"{name}.jpg"))
        tiles = mosaic.reshape(-1, size, mosaic.shape[1] // size, size, 3)
        tiles = tiles.swapaxes(1, 2).reshape(-1, size, size, 3)
        images.append(tiles[: len(index["labels"][name])])
        labels += index["labels"][name]
    return np.concatenate(images), np.array(labels), tuple(index["class_names"])


def open_tfds(name: str, split: str, data_dir: str | None) -> ImageSource:
    """Opens a data set of TensorFlow Datasets, prepared or to be downloaded."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError(
            "`source='tfds:NAME'` needs TensorFlow Datasets: pip install "
            f"tensorflow-datasets tensorflow. Received: source='tfds:{name}' ({error})"
        ) from None
    builder = _prepared(tfds, name, data_dir)
    features = builder.info.features
    image = first_of(features, tfds.features.Image)
    label = first_of(features, tfds.features.ClassLabel)
    if image is None:
        raise ValueError(
            "`source` must be a data set with images. "
            f"Received: source='tfds:{name}' with the features {list(features)}"
        )
    split = find_split(split, list(builder.info.splits)) or split
    try:
        count = builder.info.splits[split].num_examples
    except (KeyError, ValueError):
        raise ValueError(
            f"`split` must be one of {sorted(builder.info.splits)}, the splits of "
            f"{name!r}. Received: split={split!r}"
        ) from None

    def records(seed):
        dataset = builder.as_dataset(
            split=split, decoders={image: tfds.decode.SkipDecoding()}
        )
        if seed is not None:
            number = int(np.random.default_rng(seed).integers(2**31))
            dataset = dataset.shuffle(min(count, 10_000), seed=number)
        for number, example in enumerate(untuned(dataset).as_numpy_iterator()):
            yield f"{name} #{number}", example[image], int(example.get(label, -1))

    return ImageSource(count, records, label and tuple(features[label].names))


def first_of(features, kind) -> str | None:
    """Name of the first feature of a kind."""
    return next((key for key in features if isinstance(features[key], kind)), None)


def first_line(error: Exception) -> str:
    """An error of another library in one line."""
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[:1]])


def _prepared(tfds, name: str, data_dir: str | None):
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
    except Exception as error:  # the network, the disk and each data set have their own
        raise ValueError(
            "`source` must be a data set that TensorFlow Datasets knows and has "
            "prepared, or can download, in `data_dir`. "
            f"Received: source='tfds:{name}', data_dir={data_dir!r} "
            f"({first_line(error)})"
        ) from None
    return builder
