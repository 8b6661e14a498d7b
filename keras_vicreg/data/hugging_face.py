"""Data sets of the `datasets` library: of the Hub, on the disk, or in memory."""

from pathlib import Path

import numpy as np

from keras_vicreg.data.sources import ImageSource, first_line, first_of
from keras_vicreg.data.splits import find_split

# What `save_to_disk` writes beside the rows of a single data set.
ALONE = ("dataset_info.json", "state.json")
LABELS = ("label", "labels")
MOST_CLASSES = 2**16


def open_hugging_face(name: str, split: str, data_dir: str | None) -> ImageSource:
    """Opens a data set of the Hugging Face Hub, or a local one, through `datasets`."""
    datasets = _import_datasets(f"'hf:{name}'")
    if is_saved(Path(name)):
        return open_saved(Path(name), split)
    try:
        rows = _load(datasets, name, split, data_dir)
    except Exception as error:  # the Hub's, the network's and the library's own kinds
        raise ValueError(
            "`source` must be a data set that the `datasets` library can load, and "
            f"`split` one of its splits. Received: source='hf:{name}', "
            f"split={split!r} ({first_line(error)})"
        ) from None
    return _open(rows, f"hf:{name}")


def _load(datasets, name: str, split: str, data_dir: str | None):
    """The rows of a split, in any usual spelling."""
    try:
        return datasets.load_dataset(name, split=split, cache_dir=data_dir)
    except ValueError:  # for one, a split that is not there
        spelled = find_split(split, datasets.get_dataset_split_names(name))
        if spelled in (None, split):
            raise
        return datasets.load_dataset(name, split=spelled, cache_dir=data_dir)


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` of `datasets` wrote a folder."""
    alone = all((folder / name).is_file() for name in ALONE)
    return alone or (folder / "dataset_dict.json").is_file()


def open_saved(folder: Path, split: str) -> ImageSource:
    """Opens what `save_to_disk` of `datasets` wrote."""
    datasets = _import_datasets(f"{str(folder)!r}, written by `save_to_disk`")
    try:
        rows = datasets.load_from_disk(str(folder))
    except Exception as error:  # damaged files, each in its own way
        raise ValueError(
            "`source` must be a whole folder of `save_to_disk`. "
            f"Received: source={str(folder)!r} ({first_line(error)})"
        ) from None
    return open_rows(rows, split, folder.name)


def is_rows(source) -> bool:
    """Whether `source` is an object of the `datasets` library."""
    return type(source).__module__.partition(".")[0] == "datasets"


def open_rows(rows, split: str, name: str = "datasets") -> ImageSource:
    """Opens a `datasets.Dataset`, or the split of a `datasets.DatasetDict`."""
    datasets = _import_datasets(name)
    if isinstance(rows, datasets.DatasetDict):
        parts = dict(rows)
        parts["all"] = datasets.concatenate_datasets([*rows.values()])
    elif isinstance(rows, datasets.Dataset):
        parts = {"train": rows, "all": rows, str(rows.split or "all"): rows}
    else:
        raise ValueError(
            "`source` must be a datasets.Dataset or DatasetDict, whose length is "
            f"known. Received: a {type(rows).__name__}"
        )
    chosen = find_split(split, list(parts))
    if chosen is None:
        raise ValueError(
            f"`split` must be one of {sorted(parts)}, the splits of {name!r}. "
            f"Received: split={split!r}"
        )
    return _open(parts[chosen], name)


def _open(rows, name: str) -> ImageSource:
    import datasets

    image = first_of(rows.features, datasets.Image)
    if image is None:
        raise ValueError(
            "`source` must be a data set with images, of the type `datasets.Image`. "
            f"Received: {name!r} with the features {list(rows.features)}"
        )
    label, names = _labels_of(rows)
    rows = rows.with_format(None).cast_column(image, datasets.Image(decode=False))

    def records(seed):
        order = np.arange(len(rows))
        if seed is not None:
            order = np.random.default_rng(seed).permutation(len(rows))
        for number in order:
            row = rows[int(number)]
            cell = row[image] or {"bytes": b""}
            content = cell["bytes"] or cell.get("path") or b""
            value = row.get(label)
            yield f"{name} #{number}", content, -1 if value is None else value

    return ImageSource(len(rows), records, names)


def _labels_of(rows) -> tuple:
    """The column of labels, of classes or whole numbers, and names of the labels."""
    import datasets

    label = first_of(rows.features, datasets.ClassLabel)
    if label is not None:
        return label, tuple(rows.features[label].names)
    for label in LABELS:
        if "int" not in getattr(rows.features.get(label), "dtype", ""):
            continue
        values = [value for value in rows.unique(label) if value is not None]
        if values and 0 <= min(values) <= max(values) < MOST_CLASSES:
            return label, tuple(map(str, range(max(values) + 1)))
    return None, None


def _import_datasets(source: str):
    """The library, or a `ValueError` that says what needs it."""
    try:
        import datasets
    except ImportError:
        raise ValueError(
            f"`source={source}` needs the `datasets` library: pip install datasets"
        ) from None
    return datasets
