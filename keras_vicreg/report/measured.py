"""What the encoder of a run makes of its images: all that the report draws of it."""

import dataclasses

import numpy as np

import keras_vicreg as kv
from keras_vicreg.evaluation.held_out import held_out_split
from keras_vicreg.evaluation.knn import KNN
from keras_vicreg.evaluation.quality import Quality
from keras_vicreg.report.run import ReportedRun
from keras_vicreg.terminal import printable


@dataclasses.dataclass(frozen=True)
class Images:
    """Images of one split, `(n, height, width, 3)`, and what is known of them.

    Attributes:
        images: uint8 array.
        labels: array `(n,)`, or `None`.
        names: names of the labels, or `None`.
        split: `"test"`, or else `"validation"`; where neither has labels `"train"`,
            without any `"all"`.
        train: pair `(images, labels)`, where `split` is one of the first two; else
            `None`.
    """

    images: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...] | None
    split: str
    train: tuple[np.ndarray, np.ndarray] | None

    @property
    def title(self) -> str:
        """`"372 test images"`."""
        kind = {"train": "training images", "all": "images"}
        return f"{len(self.images):,} {kind.get(self.split, f'{self.split} images')}"

    def name_of(self, label) -> str | None:
        """Name of a label, its number where it has none, `None` without a label."""
        if self.names is None or label is None:
            return None
        known = 0 <= label < len(self.names)
        return self.names[label] if known else str(label)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A run whose encoder was put to work.

    Attributes:
        run: the run.
        data: the images that were looked at.
        features: their representations, `(n, features)`.
        quality: the health of these.
        knn: their classification by the training images, or `None`.
        gallery: pair `(representations, labels)` of the training images, or `None`.
    """

    run: ReportedRun
    data: Images
    features: np.ndarray
    quality: Quality
    knn: KNN | None
    gallery: tuple[np.ndarray, np.ndarray] | None


def measure_runs(
    runs: list[ReportedRun], verbose: bool = False
) -> tuple[list[Measured], dict[str, str]]:
    """Loads encoders and images of runs and measures them.

    Args:
        runs: the runs.
        verbose: whether to say which one is being measured. Defaults to `False`.

    Returns:
        A list of what was measured, and a dict: name of a run that could not be ->
        the reason.

    Raises:
        kv.PresetError: if the encoder of a run is damaged.
    """
    from keras_vicreg.runs.encoder_files import load_encoder

    loaded, measured, left_out = {}, [], {}
    for run in runs:
        if not run.has_encoder:
            epochs = f"{run.epochs} of {run.recipe.epochs} epochs"
            left_out[run.name] = f"its folder holds none, after {epochs}"
            continue
        if verbose:
            what = f"Measuring {run.name} on {run.recipe.data}."
            print(printable(what), flush=True)
        encoder = load_encoder(str(run.path))
        try:
            images = _images_of(run, encoder, loaded)
            measured.append(_measure(run, encoder, images))
        except (TypeError, ValueError) as error:
            # Of a folder the name alone: the path is nobody's business.
            left_out[run.name] = str(error).replace(run.recipe.data, run.data_name)
    if verbose:
        for name, reason in left_out.items():
            print(f"Not measured: {printable(f'{name}, {reason}')}", flush=True)
    return measured, left_out


def _images_of(run, encoder, loaded: dict) -> Images:
    """The images of a run at the size its encoder takes, loaded once for all runs."""
    size = encoder.input_shape[1:3]
    if None in size:
        size = (run.recipe.image_size,) * 2 if run.recipe.image_size else None
    key = run.recipe.data, run.recipe.data_dir, size
    if key not in loaded:
        loaded[key] = _load(*key)
    return loaded[key]


def _load(data: str, data_dir, size) -> Images:
    given = {"image_size": size, "data_dir": data_dir}
    names = kv.class_names(data, data_dir=data_dir)
    if names is None:
        images = kv.load_images(data, split="all", **given)
        return Images(images, None, None, "all", None)
    train = kv.load_images(data, labels=True, **given)
    split = held_out_split(data, data_dir)
    if split is None:
        return Images(*train, names, "train", None)
    test = kv.load_images(data, split=split, labels=True, **given)
    return Images(*test, names, split, train)


def _measure(run, encoder, data: Images) -> Measured:
    features = kv.embed(encoder, data.images)
    knn = gallery = None
    if data.train is not None:
        gallery = kv.embed(encoder, data.train[0]), data.train[1]
        found = run.results.get("trained", {}).get("knn", {}).get("settings", {})
        knn = kv.knn(
            None,
            gallery,
            (features, data.labels),
            k=found.get("k", min(20, len(gallery[0]))),
            temperature=found.get("temperature", 0.07),
        )
    return Measured(run, data, features, kv.quality(features), knn, gallery)
