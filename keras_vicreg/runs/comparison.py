"""What a run was worth: the encoder before and after training, and the raw pixels."""

import contextlib

import keras

import keras_vicreg as kv
from keras_vicreg.data.folders import ImageFolder
from keras_vicreg.data.labelled_files import LabelledFiles
from keras_vicreg.devices import replicas
from keras_vicreg.devices.local_copy import LocalCopy
from keras_vicreg.evaluation.held_out import held_out_split
from keras_vicreg.evaluation.protocols import measure, table
from keras_vicreg.runs.folder import RunFolder
from keras_vicreg.runs.recipes import Recipe
from keras_vicreg.runs.results import EVALUATION, read_results
from keras_vicreg.views.files import FileViews


class Comparison:
    """What a run was worth: before and after, beside the raw pixels.

    All labelled images are measured, the same ones each time, on the test split, or
    where that has no labels on the validation split. Large photographs are
    streamed: they need not fit into memory, and their pixels say nothing as they are.
    A run that goes on from a preset is beside that and, of images in memory, beside the
    same network with random weights.

    Args:
        recipe: of the run, resolved.
        folder: of the run.
        encoder: the network that is being trained.
        batches: what it is trained on.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, encoder: LocalCopy, batches):
        self.folder = folder
        self.encoder = encoder
        self.recipe = recipe
        self.streamed = isinstance(batches, FileViews)
        self.baselines = _baselines(recipe, self.streamed)
        self.results = read_results(folder)
        self.splits = {}
        self.tested = held_out_split(recipe.data, recipe.data_dir)
        if kv.class_names(recipe.data, data_dir=recipe.data_dir) is None:
            return
        load = _stream if self.streamed else _load
        for split in ("train", "validation", "test"):
            with contextlib.suppress(ValueError):  # a source without that split
                self.splits[split] = load(recipe, split, batches)

    def online_knn(self) -> list:
        """A callback that watches the validation split, where there is one."""
        if self.streamed or not {"train", "validation"} <= set(self.splits):
            return []
        return [kv.callbacks.OnlineKNN(self.splits["train"], self.splits["validation"])]

    def before(self) -> None:
        """Measures raw pixels and the encoder before training, once a run."""
        if replicas.is_chief() and self._can_measure:
            self._measure_baselines()
        if self.recipe.start_from is not None:
            # In every process what is drawn from here on is the same, whether or not
            # random weights were still to be measured.
            keras.utils.set_random_seed(self.recipe.seed)

    def _measure_baselines(self) -> None:
        if self.tested != "test":
            print(f"No labelled test split: measured on the {self.tested} split.")
        for name in self.baselines:
            if name not in self.results:
                self._measure(name)

    def after(self) -> dict:
        """Measures the trained encoder and prints the table."""
        if not self._can_measure:
            print("No labelled test or validation split: nothing to compare on.")
            return {}
        if "trained" not in self.results:
            self._measure("trained")
        rows = (*self.baselines, "trained")
        results = {row: self.results[row] for row in rows if row in self.results}
        test = self.results["trained"]["knn"]["settings"]["test_images"]
        images = f"{test:,} {self.tested} images"
        print(f"\nTop-1 accuracy on the {images}:\n{table(results)}")
        return results

    @property
    def _can_measure(self) -> bool:
        return {"train", self.tested} <= set(self.splits)

    def _measure(self, name: str) -> None:
        train, test, split = self.splits["train"], self.splits[self.tested], self.tested
        if name == "raw pixels":
            # Logistic regression on pixels would take longer than the training.
            self.results[name] = measure(None, train, test, ("knn",), split)
        elif name == "untrained" and self.recipe.start_from is not None:
            self.results[name] = replicas.alone(
                lambda: measure(self._with_random_weights(), train, test, split=split)
            )
        else:
            self.results[name] = self.encoder.use(
                lambda encoder: measure(encoder, train, test, split=split)
            )
        self.folder.write_json(EVALUATION, self.results)

    def _with_random_weights(self):
        """The network of a preset as a run without one would begin."""
        keras.utils.set_random_seed(self.recipe.seed)
        return keras.models.clone_model(self.encoder.model)


def _baselines(recipe: Recipe, streamed: bool) -> tuple[str, ...]:
    """What the trained encoder is compared with."""
    if streamed:
        return ("untrained",) if recipe.start_from is None else ("preset",)
    rows = ("raw pixels", "untrained", "preset")
    return rows if recipe.start_from is not None else rows[:2]


def _load(recipe: Recipe, split: str, batches):
    """Images of a split and their labels, in memory."""
    return kv.load_images(
        recipe.data,
        image_size=recipe.image_size,
        split=split,
        labels=True,
        data_dir=recipe.data_dir,
    )


def _stream(recipe: Recipe, split: str, batches: FileViews) -> LabelledFiles:
    """Batches of a split; what training cannot read either is named once."""
    source = ImageFolder(recipe.data).source(split)
    if source.class_names is None:
        raise ValueError(f"`split` must have labels. Received: split={split!r}")
    unreadable = batches.unreadable if split == "train" else None
    return LabelledFiles(source, recipe.image_size, unreadable)
