"""One pretraining run, from a recipe to a run folder."""

import contextlib
import time

import keras

import keras_vicreg as kv
from keras_vicreg.data.batches import Batches
from keras_vicreg.data.folder_report import announce
from keras_vicreg.data.unreadable import MOST
from keras_vicreg.devices import replicas
from keras_vicreg.devices.local_copy import LocalCopy
from keras_vicreg.devices.microbatch import check_microbatch_size
from keras_vicreg.devices.rematerialization import rematerialize
from keras_vicreg.encoders.named_backbones import load_backbone
from keras_vicreg.epoch_lines import progress
from keras_vicreg.optimizers import decays
from keras_vicreg.runs.card import card_of
from keras_vicreg.runs.comparison import Comparison
from keras_vicreg.runs.curves import draw_curves
from keras_vicreg.runs.encoder_files import save_encoder
from keras_vicreg.runs.folder import HistoryFile, RunFolder
from keras_vicreg.runs.identity import claim
from keras_vicreg.runs.paths import anchored, without_folders
from keras_vicreg.runs.recipes import Recipe
from keras_vicreg.runs.start_from import build_from_preset, with_network_of_preset
from keras_vicreg.terminal import printable
from keras_vicreg.views.files import FileViews, large_photographs


def pretrain(
    recipe: Recipe,
    run_dir,
    verbose: str | int = "auto",
    distribution: str = "auto",
    max_unreadable: float = MOST,
) -> dict:
    """Pretrains an encoder as a recipe says, and measures what that was worth.

    In a folder that holds an unfinished run of the same recipe, on the same images and
    with the same backend, it goes on from the last whole epoch. With labels in the
    data, the encoder before training, untrained and as its preset has it, and the
    trained one are compared on the test split, or where it has no labels on the
    validation split; training never sees labels or either split.

    Several processes each call it, with a `run_dir` that they share: the chief
    measures, writes and prints, the others train alone and are silent.

    Args:
        recipe: what the run is.
        run_dir: path of the run folder, see `keras_vicreg.runs.folder`.
        verbose: as in `keras.Model.fit`; 2 is one line an epoch. Defaults to
            `"auto"`.
        distribution: the devices to train on, as in `kv.distribution`. Defaults to
            `"auto"`, all there are.
        max_unreadable: share of the files that may be unreadable, 0 to 1. Defaults to
            a half.

    Returns:
        What raw pixels, the encoder before training (`"untrained"`, `"preset"`) and
        the trained one gave, by protocol, as in evaluation.json; empty without labels
        or without such a split, and in a process that is not the chief.

    Raises:
        ValueError: if recipe or data are unusable, or `run_dir` holds another run.
        ConnectionError: if another process of the run has ended.

    Example:

    >>> from keras_vicreg.runs.recipes import Recipe
    >>> pretrain(Recipe(data="photographs/", image_size=64), "runs/photographs")
    """
    # First of all: TensorFlow and JAX look for other processes only once.
    with kv.distribution(distribution):
        return _pretrain(recipe, RunFolder(run_dir), verbose, max_unreadable)


def _pretrain(recipe: Recipe, folder: RunFolder, verbose, max_unreadable) -> dict:
    if replicas.is_chief():
        announce(recipe.data)
    recipe = with_network_of_preset(anchored(recipe))
    recipe, batches = load_batches(recipe, max_unreadable)
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    _check_sizes(recipe)
    model = build_model(recipe, steps_per_epoch=len(batches))
    if isinstance(batches, FileViews):
        model.views = None
    claim(folder, recipe, batches)
    comparison = Comparison(recipe, folder, LocalCopy(model.encoder), batches)
    comparison.before()
    _announce(recipe, model, batches, folder)
    _fit(model, batches, recipe, folder, comparison.online_knn(), verbose)
    # From here on each process is alone, and the chief has the rest to do.
    if not replicas.is_chief():
        return {}
    results = comparison.after()
    card = card_of(recipe, results, folder)
    kept = replicas.alone(lambda: save_encoder(model, folder, **card))
    if kept == folder.encoder_file:
        _say(
            f"{kept} holds the encoder in Keras's own format: its backbone is from "
            "elsewhere, and no preset describes it."
        )
    return results


def _announce(recipe: Recipe, model, batches, folder: RunFolder) -> None:
    start = f"from {recipe.start_from}, " if recipe.start_from else ""
    devices = replicas.num_devices()
    _say(
        f"Pretraining {recipe.encoder}, {model.encoder.count_params():,} parameters, "
        f"{start}with {recipe.method} on {batches.samples:,} images of {recipe.data} "
        f"at {recipe.image_size} px, {len(batches)} steps of {recipe.batch_size} an "
        f"epoch ({batches.samples % recipe.batch_size} images left out of each, at "
        f"random), {keras.config.backend()} backend"
        + (f" on {devices} devices" if devices > 1 else "")
        + f"; run folder {folder.path}"
    )


def _say(text: str) -> None:
    """Prints, in one process of several."""
    if replicas.is_chief():
        print(printable(text), flush=True)


def _check_sizes(recipe: Recipe) -> None:
    """Raises, before anything is written, where batches cannot be dealt out."""
    devices = replicas.num_devices()
    if recipe.batch_size % devices:
        raise ValueError(
            "`batch_size` must be a multiple of the number of devices; "
            "distribution='none' takes one alone. "
            f"Received: batch_size={recipe.batch_size}, {devices} devices"
        )
    check_microbatch_size(recipe.microbatch_size, recipe.batch_size)


def load_batches(recipe: Recipe, max_unreadable: float = MOST):
    """The resolved recipe, and the batches of its images or views.

    Images lie in memory, in the size of the views. Of a folder of photographs that
    are much larger than that, the views are made from the files.
    """
    size = recipe.image_size
    if size is not None and (paths := large_photographs(recipe.data, size)):
        recipe = recipe.resolved(size)
        views = kv.TwoViews(size, recipe=recipe.views)
        options = {"seed": recipe.seed, "max_unreadable": max_unreadable}
        return recipe, FileViews(paths, views, recipe.batch_size, **options)
    images = kv.load_images(
        recipe.data,
        image_size=size,
        data_dir=recipe.data_dir,
        max_unreadable=max_unreadable,
    )
    recipe = recipe.resolved(image_size=min(images.shape[1:3]))
    return recipe, Batches(images, recipe.batch_size, seed=recipe.seed)


def build_model(recipe: Recipe, steps_per_epoch: int):
    """The compiled model of a resolved recipe."""
    views = kv.TwoViews(recipe.image_size, recipe=recipe.views, seed=recipe.seed)
    method = kv.METHODS[recipe.method]
    options = {"views": views, "microbatch_size": recipe.microbatch_size}
    options |= recipe.method_options or {}
    if recipe.start_from is not None:
        model = build_from_preset(recipe, method, **options)
    else:
        encoder = build_encoder(recipe)
        model = method(encoder, recipe.expander, **options)
    if recipe.remat:
        rematerialize(model.encoder)
    model.compile(build_optimizer(recipe, steps_per_epoch, model.trainable_variables))
    return model


def build_encoder(recipe: Recipe):
    """The encoder of a resolved recipe, with random weights, or those of its file."""
    shape = (recipe.image_size, recipe.image_size, 3)
    if recipe.names_backbone:
        return load_backbone(recipe.encoder, shape)
    options = {}
    if recipe.names_resnet:
        options = {"stem": recipe.stem, "width": recipe.width}
    return kv.encoder(recipe.encoder, shape, **options)


def build_optimizer(recipe: Recipe, steps_per_epoch: int, variables):
    """The optimizer of a resolved recipe, with its schedule.

    Args:
        recipe: a resolved recipe.
        steps_per_epoch: int, what the schedule counts.
        variables: those that it will train, of which some take no weight decay.
    """
    peak = recipe.learning_rate
    if peak is None:
        peak = kv.recommended_learning_rate(recipe.batch_size, recipe.epochs)
    schedule = kv.warmup_cosine(
        peak,
        total_steps=recipe.epochs * steps_per_epoch,
        warmup_steps=round(recipe.warmup_epochs * steps_per_epoch),
    )
    if recipe.optimizer == "lars":
        return kv.LARS(schedule, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    else:
        optimizer = keras.optimizers.SGD(
            schedule, 0.9, weight_decay=recipe.weight_decay
        )
    optimizer.exclude_from_weight_decay([v for v in variables if not decays(v)])
    return optimizer


def _fit(model, batches, recipe, folder, callbacks, verbose) -> None:
    resume = kv.callbacks.Resume(folder.checkpoint)
    if resume.epoch:
        _say(f"Going on after epoch {resume.epoch} of {recipe.epochs}.")
    verbose, lines = progress(verbose if replicas.is_chief() else 0)
    begin, first = time.perf_counter(), resume.epoch
    try:
        model.fit(
            batches,
            epochs=recipe.epochs,
            initial_epoch=resume.epoch,
            callbacks=[*callbacks, HistoryFile(folder), resume, *lines],
            verbose=verbose,
        )
        if first < recipe.epochs:
            _say(f"Training took {time.perf_counter() - begin:.0f} s.")
    except replicas.LOST as error:
        if replicas.process()[1] == 1:
            raise
        reason = str(error).partition("\n")[0]
        raise ConnectionError(
            "Another process of this run has ended. Started again, all of them go on "
            f"after the last whole epoch. ({reason})"
        ) from error
    finally:
        if replicas.is_chief() and (rows := folder.read_history()):
            data = without_folders(recipe.data)
            title = f"{recipe.method}, {recipe.encoder}, {data}"
            with contextlib.suppress(OSError):  # never in place of the first error
                draw_curves(rows, folder.curves, title)
