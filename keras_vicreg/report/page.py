"""The page: one HTML file that asks for nothing from anywhere."""

import base64
import hashlib
import os
from pathlib import Path

import keras_vicreg as kv
from keras_vicreg.report.accuracies import accuracies
from keras_vicreg.report.configuration import configuration
from keras_vicreg.report.confusion import confusion
from keras_vicreg.report.drawn_views import drawn_views
from keras_vicreg.report.health import health
from keras_vicreg.report.html import Markup, element, section, text
from keras_vicreg.report.measured import Measured, measure_runs
from keras_vicreg.report.overview import overview
from keras_vicreg.report.representation_map import representation_maps
from keras_vicreg.report.run import ReportedRun, read_runs
from keras_vicreg.report.similar_images import similar_images
from keras_vicreg.report.sprites import Sheet
from keras_vicreg.report.training import training_curves

HERE = Path(__file__).parent


def write_report(run_dirs, path="report.html", verbose: bool = False) -> Path:
    """Writes one HTML file about one or several pretraining runs.

    It shows the curves of the runs over each other, the spectrum and the health of
    their representations, what they are worth with intervals, which class is taken
    for which, a map of the representations, nearest neighbours, views and the
    configuration. It loads nothing from anywhere, and equal runs give an equal file.
    What needs labels or images that are not there is named and left out.

    Args:
        run_dirs: paths of run folders, as `keras-vicreg pretrain` writes them.
        path: the file to write. Defaults to `"report.html"`.
        verbose: whether to say which run is being measured. Defaults to `False`.

    Returns:
        The path of the file.

    Raises:
        ValueError: if a folder holds no run, its files are damaged, or `path` is no
            place for a file.
        kv.PresetError: if the encoder of a run is damaged.

    Example:

    >>> write_report(["runs/a", "runs/b"], "report.html")
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            "`path` must be a file in a folder that exists. "
            f"Received: path={str(path)!r}"
        )
    runs = read_runs(run_dirs)
    measured, left_out = measure_runs(runs, verbose)
    page = _page(runs, measured, left_out)
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _page(runs: list[ReportedRun], measured: list[Measured], left_out: dict) -> str:
    sections, sheets = _sections(runs, measured, left_out)
    names = ", ".join(run.name for run in runs)
    style = (HERE / "style.css").read_text(encoding="utf-8")
    style += "\n".join(sheet.style for sheet in sheets)
    script = (HERE / "hover.js").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"Pretraining report: {names}"),
        element("style", Markup(style)),
    )
    count = "One run" if len(runs) == 1 else f"{len(runs)} runs"
    body = element(
        "body",
        element(
            "header",
            element("p", f"keras_vicreg {kv.__version__}", class_="kicker"),
            element("h1", "Pretraining report"),
            element("p", f"{count}: {names}", class_="lead"),
        ),
        element("main", sections),
        element("div", id="tip", role="tooltip", hidden=True),
        element("script", Markup(script)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _sections(runs, measured, left_out) -> tuple[list[Markup], list[Sheet]]:
    """The parts of the page in their order, and the pictures that they show."""
    parts, sheets = [training_curves(runs)], []
    if measured:
        parts.append(health(measured))
    parts.append(accuracies(runs))
    if measured:
        parts.append(confusion(measured))
        for draw in (representation_maps, similar_images, drawn_views):
            part, pictures = draw(measured)
            parts.append(part)
            sheets += pictures
    parts.append(configuration(runs))
    top = section("overview", "At a glance", overview(runs, measured), _left(left_out))
    return [top, *(part for part in parts if part)], sheets


def _left(left_out: dict) -> Markup | None:
    """Which encoders were not put to work, and why."""
    if not left_out:
        return None
    lines = [
        element("p", f"The encoder of {name} was not measured: {reason}", class_="note")
        for name, reason in left_out.items()
    ]
    return text(lines)


def _policy(script: str) -> str:
    """Nothing is loaded, and no script runs but the one of this package."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
