"""Which class is taken for which: the confusion matrix of the kNN classifier."""

import numpy as np

from keras_vicreg.report.figures import percent
from keras_vicreg.report.html import Markup, element, section
from keras_vicreg.report.measured import Measured
from keras_vicreg.report.overview import run_name
from keras_vicreg.runs.results import accuracy

MOST_CLASSES = 30  # of a matrix that can be read
LISTED = 5


def confusion(measured: list[Measured]) -> Markup | None:
    """The matrix of each run that could be tested; `None` where there is none."""
    classified = [each for each in measured if each.knn is not None]
    if not classified:
        return None
    told = (
        "By the kNN classifier. Rows are the true classes, columns the predicted ones, "
        "cells count the images tested; the last column is the share of a class that "
        "is found."
    )
    return section(
        "confusion",
        "Which class is taken for which",
        element("p", told),
        element("div", [_figure(each) for each in classified], class_="pair"),
    )


def confusion_matrix(labels, predictions, classes: int) -> np.ndarray:
    """Counts `(classes, classes)`: true classes by rows, predicted ones by columns."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def _figure(measured: Measured) -> Markup:
    knn, labels = measured.knn, measured.data.labels
    used = np.unique(np.concatenate([labels, knn.predictions]))
    counts = confusion_matrix(
        np.searchsorted(used, labels), np.searchsorted(used, knn.predictions), len(used)
    )
    names = [measured.data.name_of(label) for label in used]
    right = f"{int(knn.correct.sum()):,} of {measured.data.title}, {percent(knn.top1)}"
    settings = f"k = {knn.settings['k']}, temperature {knn.settings['temperature']:g}"
    caption = element(
        "figcaption",
        run_name(measured.run),
        element("small", f"{right}, are right; {settings}"),
    )
    few = len(used) <= MOST_CLASSES
    matrix = _matrix(counts, names) if few else None
    return element("figure", caption, matrix, _most(counts, names), _differs(measured))


def _matrix(counts, names) -> Markup:
    totals = np.maximum(counts.sum(axis=1), 1)
    head = [
        element("th", element("span", name), scope="col", title=name)
        for name in [*names, "found"]
    ]
    rows = []
    for name, row, total, found in zip(names, counts, totals, counts.diagonal()):
        cells = [
            element(
                "td",
                count or "",
                style=f"--share:{count / total:.3f}",
                class_="deep" if count / total > 0.5 else None,
            )
            for count in row.tolist()
        ]
        share = percent(found / total) if row.sum() else ""
        header = element("th", name, scope="row", title=name)
        rows.append(element("tr", header, cells, element("td", share, class_="found")))
    head = element("thead", element("tr", element("td"), head))
    whole = element("table", head, element("tbody", rows), class_="matrix")
    return element("div", whole, class_="wide")


def _most(counts, names) -> Markup | None:
    """The most frequent mistakes in words."""
    wrong = counts - np.diag(counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    pairs = [np.unravel_index(index, counts.shape) for index in order]
    items = [
        element(
            "li",
            element("em", names[true]),
            " taken for ",
            element("em", names[taken]),
            f": {wrong[true, taken]} of {counts[true].sum()}",
        )
        for true, taken in pairs
        if wrong[true, taken]
    ]
    return element("ol", items, class_="fine") if items else None


def _differs(measured: Measured) -> Markup | None:
    """A word where evaluation.json says something else than what is found now."""
    stored = measured.run.results.get("trained", {}).get("knn")
    if stored is None or abs(accuracy(stored)[0] - measured.knn.top1) < 1e-9:
        return None
    said = percent(accuracy(stored)[0])
    return element(
        "p",
        f"evaluation.json says {said}: images, encoder or arithmetic are not quite "
        "those of then.",
        class_="note",
    )
