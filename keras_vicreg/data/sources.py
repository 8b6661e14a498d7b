"""Where images lie: the embedded sample, folders, TensorFlow Datasets.

Each function opens one kind of place and gives an `ImageSource`.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from keras_vicreg.data.image_files import EXTENSIONS, find_images
from keras_vicreg.data.untuned import untuned

SAMPLE = Path(__file__).parents[1] / "sample"
SPLITS = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}


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
    splits = list(index["labels"]) if split == "all" else [split]
    if not set(splits) <= set(index["labels"]):
        raise ValueError(
            f"`split` of the sample must be one of {[*index['labels'], 'all']}. "
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


def open_folder(folder: Path, split: str) -> ImageSource:
    """Opens a folder of image files.

    A folder that has a train/ or a test/ sub-folder beside others gives the split
    asked for; any other folder is a train split. Where all images lie in two or more
    sub-folders, those are the classes, numbered over all splits alike.
    """
    splits = _split_folders(folder)
    roots = _chosen(folder, splits, split)
    files = [(root, path) for root in roots for path in find_images(root)]
    if not files:
        raise ValueError(
            f"`source` must hold images ({', '.join(EXTENSIONS)}) directly or in "
            f"sub-folders. Received: source={str(roots[0])!r} without any"
        )
    names = {name for root in splits.values() or roots for name in _subfolders(root)}
    parts = [path.relative_to(root).parts for root, path in files]
    labelled = len(names) > 1 and all(len(each) > 1 for each in parts)
    names = tuple(sorted(names)) if labelled else None
    numbers = {name: number for number, name in enumerate(names or ())}
    return listed(
        [
            (str(path.relative_to(folder)), str(path), numbers.get(each[0], -1))
            for (_, path), each in zip(files, parts)
        ],
        names,
    )


def _subfolders(folder: Path) -> list[str]:
    """Names of the sub-folders that hold something, hidden ones left out."""
    return [
        path.name
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and any(path.iterdir())
    ]


def _split_folders(folder: Path) -> dict[str, Path]:
    """The splits of a folder; none where the sub-folders are something else."""
    aliases = {alias: name for name, given in SPLITS.items() for alias in given}
    found = _subfolders(folder)
    known = [name for name in found if name in aliases]
    # A class may be called "train"; it then has classes beside it, and no other split.
    if len(known) < 2 and known != found:
        return {}
    return {aliases.get(name, name): folder / name for name in found}


def _chosen(folder: Path, splits: dict[str, Path], split: str) -> list[Path]:
    if split == "all":
        return sorted(splits.values()) or [folder]
    if not splits and split == "train":
        return [folder]
    if split not in splits:
        known = [*(sorted(splits) or ["train"]), "all"]
        raise ValueError(
            f"`split` must be one of {known}, the splits of {str(folder)!r}. "
            f"Received: split={split!r}"
        )
    return [splits[split]]


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
