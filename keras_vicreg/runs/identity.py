"""What a run is, so that a folder with one goes on with that one and no other."""

import dataclasses
import os
import platform
import time
from pathlib import Path

import keras
import numpy as np

from keras_vicreg.devices import replicas
from keras_vicreg.evaluation.provenance import fingerprint, versions
from keras_vicreg.runs.encoder_files import source_of
from keras_vicreg.runs.folder import RunFolder
from keras_vicreg.runs.paths import anchored
from keras_vicreg.runs.recipes import Recipe
from keras_vicreg.views.files import FileViews

CONFIG = "config.json"


def claim(folder: RunFolder, recipe: Recipe, batches) -> None:
    """Writes config.json, or makes sure that the one there is of the same run.

    A run is its recipe, its images, the backend, and the file that its backbone came
    from. Versions of libraries, machine and devices may change on the way. What an
    older version of this package did not write down is not compared.

    Args:
        folder: of the run.
        recipe: a resolved recipe.
        batches: what the run is trained on.

    Raises:
        ValueError: if the folder holds another run; it names every difference. And if
            its config.json is of no run.
    """
    wanted = config_of(recipe, batches)
    stored = folder.read_json(CONFIG)
    if stored is None:
        folder.write_json(CONFIG, wanted)
        return
    for name in ("recipe", "versions", "encoder_source"):
        if not isinstance(stored.get(name, {}), dict):
            raise ValueError(
                f"{folder.path / CONFIG} must be of a run. "
                f"Received: {name}={stored[name]!r}"
            )
    if changes := differences(wanted, stored):
        raise ValueError(
            "`run_dir` must be a new folder or hold a run of the same recipe on the "
            f"same images. Received: {folder.path} with {'; '.join(changes)}"
        )


def config_of(recipe: Recipe, batches) -> dict:
    """The content of config.json: all that repeats the run, and where it began."""
    return {
        "recipe": {
            **dataclasses.asdict(recipe),
            "expander": recipe.expander and list(recipe.expander),
        },
        **source_of(recipe.encoder),
        "images": batches.samples,
        "images_digest": digest(batches, recipe),
        "versions": {"backend": keras.config.backend(), **versions()},
        "machine": f"{platform.machine()}, {os.cpu_count()} processor cores",
        "devices": replicas.num_devices(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def digest(batches, recipe: Recipe) -> str:
    """A fingerprint of the images of a run, in their order.

    Of images in memory it is that of their pixels. Of files that views are made from
    it is that of their names in the folder and of their sizes: to read them all would
    take as long as an epoch.
    """
    if not isinstance(batches, FileViews):
        return fingerprint(batches.arrays)
    folder, paths = Path(recipe.data).expanduser(), map(os.fsdecode, batches.paths)
    files = [
        (os.fsencode(os.path.relpath(p, folder)), os.path.getsize(p)) for p in paths
    ]
    return fingerprint([np.array(column) for column in zip(*files)])


def differences(wanted: dict, stored: dict) -> list[str]:
    """What distinguishes two contents of config.json, a run each, in words."""
    recipe = _of_this_version(stored.get("recipe", {}))
    changes = [
        f"{name}={value!r}, not {recipe.get(name)!r}"
        for name, value in wanted["recipe"].items()
        if value != recipe.get(name)
    ]
    here, there = _parts(wanted), _parts(stored)
    differ = [name for name in here if there[name] not in (None, here[name])]
    if "images" in differ:
        changes.append(f"{here['images']} images, not {there['images']}")
    elif "digest" in differ:
        changes.append(f"other images than the {there['images']} of the run")
    if "backend" in differ:
        changes.append(f"backend={here['backend']!r}, not {there['backend']!r}")
    if "encoder" in differ:
        changes.append(
            f"another file of the encoder, sha256 {here['encoder']}, not "
            f"{there['encoder']}"
        )
    return changes


def _of_this_version(recipe: dict) -> dict:
    """A stored recipe with the fields that came later, and with absolute paths."""
    recipe = {**dataclasses.asdict(Recipe()), **recipe}
    kept = anchored(Recipe(data=recipe["data"], data_dir=recipe["data_dir"]))
    return {**recipe, "data": kept.data, "data_dir": kept.data_dir}


def _parts(config: dict) -> dict:
    """Beside the recipe, what a run may not change; `None` where it is unknown."""
    return {
        "images": config.get("images"),
        "digest": config.get("images_digest"),
        "backend": config.get("versions", {}).get("backend"),
        "encoder": config.get("encoder_source", {}).get("sha256"),
    }
