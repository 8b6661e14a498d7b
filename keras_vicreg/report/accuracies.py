"""What the encoders are worth with labels: the tables of evaluation.json."""

from keras_vicreg.evaluation.protocols import SCAN
from keras_vicreg.report.figures import between, percent
from keras_vicreg.report.html import Markup, element, section, table, text
from keras_vicreg.report.overview import run_name
from keras_vicreg.report.run import ReportedRun, without_folders
from keras_vicreg.runs.results import accuracy

HEADS = {
    "knn": "kNN top-1",
    "linear": "Linear probe top-1",
    "linear_sgd": "Linear probe (SGD) top-1",
    "clustering": "k-means accuracy",
    "retrieval": "Recall at 1",
    SCAN: "SCAN accuracy",
}
BASELINES = ("raw pixels", "untrained", "preset")  # of a run, as it begins
NEEDED = (
    "kNN, linear probe and confusion matrix need labels: images in sub-folders named "
    "for their classes, under train/ and test/ or val/. `keras-vicreg evaluate RUN "
    "--data FOLDER` measures an encoder on any such images."
)


def accuracies(runs: list[ReportedRun]) -> Markup:
    """A table with a line for each encoder, its intervals drawn on one scale."""
    rows = _rows(runs)
    protocols = [name for name in HEADS if any(name in row for _, row in rows)]
    without = [run.name for run in runs if not run.results]
    note = without and element(
        "p", f"Not measured: {', '.join(without)}. {NEEDED}", class_="note"
    )
    if not protocols:
        return section("accuracy", "Accuracy", note or None)
    body = [[name, *(_cell(row.get(each)) for each in protocols)] for name, row in rows]
    heads = ["", *(_head(each, rows) for each in protocols)]
    return section(
        "accuracy",
        "Accuracy",
        element(
            "p",
            "Share of the images tested whose class is predicted, with 95 % intervals: "
            "bootstrap over these images. The bars run from 0 to 100 %.",
        ),
        table(heads, body, class_="accuracies", style=f"--columns:{len(protocols)}"),
        element("ul", [element("li", line) for line in _settings(rows)], class_="fine"),
        note or None,
    )


def _rows(runs: list[ReportedRun]) -> list[tuple]:
    """Name and results of each encoder; a baseline that runs share stands once."""
    rows, seen = [], []
    for label in BASELINES:
        for run in runs:
            found = _labelled(run.results.get(label, {}))
            figures = {protocol: accuracy(found[protocol]) for protocol in found}
            if found and (label, figures) not in seen:
                seen.append((label, figures))
                rows.append((label, run, found))
    named = []
    for label, run, found in rows:
        twice = sum(other == label for other, *_ in rows) > 1
        named.append((text(f"{label}, ", run_name(run)) if twice else label, found))
    for run in runs:
        for label, row in run.results.items():
            found = _labelled(row)
            if found and label not in BASELINES:
                named.append((_trained(run, label), found))
    return named


def _trained(run: ReportedRun, label: str) -> Markup:
    """`"trained, on FOLDER"` is of images that were named to `evaluate`."""
    _, _, data = label.partition(", on ")
    images = f" on {without_folders(data)}" if data else ""
    return text(run_name(run), images)


def _labelled(row: dict) -> dict:
    return {name: row[name] for name in HEADS if name in row}


def _head(protocol: str, rows) -> str:
    """Retrieval has its own k."""
    if protocol != "retrieval":
        return HEADS[protocol]
    found = next(row[protocol] for _, row in rows if protocol in row)
    return f"Recall at {next(iter(found['recall']))}"


def _cell(found: dict | None):
    if found is None:
        return element("span", "not measured", class_="absent")
    value, (low, high) = accuracy(found)
    bar = element(
        "span",
        element("i", style=f"left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"),
        element("b", style=f"left:{100 * value:.1f}%"),
        class_="interval",
        aria_hidden="true",
    )
    return [
        element("strong", percent(value)),
        " ",
        element("small", between(interval=(low, high))),
        bar,
    ]


def _settings(rows) -> list[str]:
    """What each protocol was run with, a line for every difference."""
    lines = []
    for protocol in HEADS:
        for _, row in rows:
            given = row.get(protocol, {}).get("settings", {})
            said = ", ".join(
                f"{name.replace('_', ' ')} {_number(value)}"
                for name, value in sorted(given.items())
                if name not in ("protocol", "features", "regularization")
            )
            line = f"{HEADS[protocol]}: {said}"
            if said and line not in lines:
                lines.append(line)
    return lines


def _number(value) -> str:
    counted = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if counted else str(value)
