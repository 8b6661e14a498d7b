"""What a run folder says of its run, checked before anything is made of it."""

import csv
import dataclasses
import math
from pathlib import Path

from keras_vicreg.atomic_folder import current
from keras_vicreg.runs.folder import RunFolder
from keras_vicreg.runs.paths import found_from, without_folders
from keras_vicreg.runs.recipes import Recipe
from keras_vicreg.runs.results import read_results
from keras_vicreg.terminal import printable

TYPES = {
    "data": str,
    "data_dir": str | None,
    "encoder": str,
    "method": str,
    "views": str | None,
    "seed": int,
}  # of what the report itself uses of a recipe, beside what `Recipe` checks


@dataclasses.dataclass(frozen=True)
class ReportedRun:
    """One run.

    Attributes:
        path: its folder.
        name: what it is called in the report.
        number: its place among the runs of the report, from 0 on.
        config: content of config.json.
        recipe: the recipe in it, its images where they are found.
        history: rows of history.csv, at least one.
        results: content of evaluation.json; empty where there is none.
    """

    path: Path
    name: str
    number: int
    config: dict
    recipe: Recipe
    history: list[dict]
    results: dict

    @property
    def has_encoder(self) -> bool:
        """Whether it came to its end and kept its encoder."""
        folder = RunFolder(self.path)
        return current(folder.encoder).is_dir() or folder.encoder_file.is_file()

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return int(self.history[-1]["epoch"])

    @property
    def seconds(self) -> float:
        """How long its epochs took, together."""
        return sum(row.get("seconds") or 0 for row in self.history)

    @property
    def data_name(self) -> str:
        """What its images are called: of a folder the last name alone."""
        return without_folders(self.recipe.data)


def read_runs(run_dirs) -> list[ReportedRun]:
    """Reads run folders.

    Args:
        run_dirs: their paths.

    Raises:
        ValueError: if there are none or one twice, or one is no run folder or holds
            damaged files.
    """
    paths = [Path(run_dir) for run_dir in run_dirs]
    if not paths or len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(
            "`run_dirs` must be one or several run folders, each once. "
            f"Received: {', '.join(map(str, paths)) or 'none'}"
        )
    names = _names([path.resolve() for path in paths])
    return [
        _read_run(path, name, number)
        for number, (path, name) in enumerate(zip(paths, names))
    ]


def _names(paths: list[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _read_run(path: Path, name: str, number: int) -> ReportedRun:
    if not (path / "config.json").is_file():
        raise ValueError(
            "A run folder must hold config.json, as `keras-vicreg pretrain` writes it. "
            f"Received: {path}"
        )
    folder = RunFolder(path)
    config = folder.read_json("config.json")
    return ReportedRun(
        path=path,
        name=name,
        number=number,
        config=config,
        recipe=found_from(path, _checked_recipe(path / "config.json", config)),
        history=_checked_history(folder),
        results=read_results(folder),
    )


def _checked_recipe(file: Path, config) -> Recipe:
    try:
        recipe = Recipe(**config["recipe"])
        for name, kind in TYPES.items():
            if not isinstance(getattr(recipe, name), kind):
                raise TypeError(f"{name}={getattr(recipe, name)!r}")
        if not isinstance(config.get("versions", {}), dict):
            raise TypeError("`versions` is no object")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} must hold the recipe of a run. Received: {printable(error)}"
        ) from error
    return recipe


def _checked_history(folder: RunFolder) -> list[dict]:
    try:
        rows = folder.read_history()
        if not rows:
            raise ValueError("no row")
        for row in rows:
            epoch, seconds = row.get("epoch", 0), row.get("seconds") or 0
            if not (1 <= epoch < math.inf and 0 <= seconds < math.inf):
                raise ValueError(f"epoch={epoch}, seconds={seconds}")
    except (TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{folder.history} must hold a row of numbers for each epoch. "
            f"Received: {printable(error)}"
        ) from error
    return rows
