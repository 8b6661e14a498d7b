"""Where the images of a run lie: kept whole for its folder, shown without the path."""

import dataclasses
import os
from pathlib import Path

from keras_vicreg.runs.recipes import Recipe


def anchored(recipe: Recipe) -> Recipe:
    """The recipe with the folders of its images as absolute paths.

    Read from another working folder, it means the same images.
    """
    return _with_paths(recipe, lambda path: Path(os.path.abspath(path)))


def found_from(run: Path, recipe: Recipe) -> Recipe:
    """The recipe of a run folder with the paths that older versions left relative.

    Their beginning is not written down. It is the closest folder above the run that
    has such a folder; that in which one happens to be is the last resort, since what
    has the same name there may be other images.

    Args:
        run: path of the run folder.
        recipe: as config.json has it.
    """

    def find(path):
        places = (above / path for above in run.resolve().parents)
        return next((place for place in places if place.is_dir()), path)

    return _with_paths(recipe, find)


def without_folders(value):
    """A setting as others may see it: of a path the last name, the rest is private.

    The Hub's and TensorFlow's names of data sets and presets are no paths.
    """
    if not isinstance(value, str):
        return value
    name = value.removeprefix("hf:")
    named = value.startswith(("hf:", "tfds:")) and not os.path.isabs(name)
    return value if named else Path(value).name or value


def _with_paths(recipe: Recipe, change) -> Recipe:
    """The recipe with what a function makes of the paths in it."""
    data, folder = recipe.data, recipe.data_dir
    prefix = "hf:" if data.startswith("hf:") else ""
    path = change(Path(data.removeprefix(prefix)).expanduser())
    if data != "sample" and not data.startswith("tfds:"):
        # Of the Hub's names none is a folder, unless one lies there.
        data = prefix + str(path) if path.is_dir() or not prefix else data
    folder = folder and str(change(Path(folder).expanduser()))
    return dataclasses.replace(recipe, data=data, data_dir=folder)
