"""The curves of the training, of all runs over each other."""

import math

from keras_vicreg.report.html import Markup, element, section
from keras_vicreg.report.line_chart import Line, line_chart
from keras_vicreg.report.overview import key_of
from keras_vicreg.report.run import ReportedRun

# column of history.csv -> title, vertical axis, factor
PANELS = {
    "loss": ("Loss", "weighted sum of the terms", 1),
    "invariance": ("Invariance term", "unweighted", 1),
    "variance": ("Variance term", "unweighted", 1),
    "covariance": ("Covariance term", "unweighted", 1),
    "embedding_std": ("Embedding std", "mean over dimensions", 1),
    "knn_top1": ("kNN top-1, validation", "% of images", 100),
    "linear_top1": ("Linear probe top-1, validation", "% of images", 100),
    "rankme": ("RankMe of the representations", "directions", 1),
    "std_mean": ("Representation std", "mean over dimensions", 1),
    "std_min": ("Representation std", "least dimension", 1),
    "mean_cosine": ("Cosine of two representations", "mean over pairs", 1),
}
NO_CURVE = ("epoch", "seconds")


def training_curves(runs: list[ReportedRun]) -> Markup:
    """A chart for each column of history.csv in which a run has a finite number."""
    columns = list(dict.fromkeys(name for run in runs for name in run.history[0]))
    unknown = [name for name in columns if name not in (*PANELS, *NO_CURVE)]
    # The terms of other methods stand where those of VICReg do, after the loss.
    ordered = ["loss", *unknown, *list(PANELS)[1:]]
    charts = [chart for name in ordered if (chart := _chart(name, runs))]
    return section(
        "training",
        "Training",
        key_of(runs),
        element("div", charts, class_="charts"),
        [_missing(runs)],
    )


def _chart(column: str, runs: list[ReportedRun]) -> Markup | None:
    title, y_label, factor = PANELS.get(column, (column, "unweighted", 1))
    lines = []
    for run in runs:
        rows = [row for row in run.history if row.get(column) is not None]
        points = [(row["epoch"], factor * row[column]) for row in rows]
        if any(math.isfinite(y) for _, y in points):
            lines.append(Line(run.name, run.number, points))
    return line_chart(title, lines, "epoch", y_label) if lines else None


def _missing(runs: list[ReportedRun]) -> Markup | None:
    """Which runs have no kNN curve, and why."""
    without = [
        run.name
        for run in runs
        if all(row.get("knn_top1") is None for row in run.history)
    ]
    if not without:
        return None
    return element(
        "p",
        f"No kNN curve of {', '.join(without)}: it needs a labelled validation split "
        "beside the training images.",
        class_="note",
    )
