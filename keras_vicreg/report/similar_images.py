"""What the encoder finds similar: the nearest neighbours of a few images."""

import numpy as np

from keras_vicreg.evaluation.neighbours import nearest
from keras_vicreg.evaluation.subsets import evenly
from keras_vicreg.report.html import Markup, element, section
from keras_vicreg.report.measured import Measured
from keras_vicreg.report.overview import run_name
from keras_vicreg.report.sprites import Sheet

SAMPLES = 8
NEIGHBOURS = 7


def similar_images(measured: list[Measured]) -> tuple[Markup, list[Sheet]]:
    """The neighbours of the same few images for each run, and their pictures."""
    figures, sheets = [], []
    for each in measured:
        figure, sheet = _figure(each, f"similar-{each.run.number}")
        figures.append(figure)
        sheets.append(sheet)
    told = (
        "Left, an image; right of it, those whose representations are most similar to "
        "its own by cosine, nearest first: among the training images, or where there "
        "is no labelled test or validation split among all the others."
    )
    labelled = any(each.data.names is not None for each in measured)
    key = "A filled dot below marks an image of the same class, a ring one of another."
    page = section(
        "similar",
        "Nearest neighbours",
        element("p", told, f" {key}" if labelled else None),
        element("div", figures, class_="pair"),
    )
    return page, sheets


def find_similar(measured: Measured) -> tuple[np.ndarray, np.ndarray]:
    """A few images, and their neighbours.

    Returns:
        Indices `(samples,)` among the images looked at, and `(samples, neighbours)`
        among the training images, or without these among the images looked at.
    """
    features = measured.features
    samples = evenly((np.arange(len(features)),), SAMPLES)[0]
    if measured.gallery is not None:
        bank, rows = measured.gallery[0], np.arange(len(measured.gallery[0]))
    else:
        rows = np.setdiff1d(np.arange(len(features)), samples)
        bank = features[rows]
    count = min(NEIGHBOURS, len(bank))
    if not count:  # too few images to have neighbours
        return samples, np.empty((len(samples), 0), int)
    return samples, rows[nearest(features[samples], bank, count)[0]]


def _figure(measured: Measured, name: str) -> tuple[Markup, Sheet]:
    samples, neighbours = find_similar(measured)
    data = measured.data
    images, labels = data.train or (data.images, data.labels)
    pictures = [data.images[samples], images[neighbours.ravel()]]
    sheet = Sheet(np.concatenate(pictures), name)
    rows = []
    for number, (sample, found) in enumerate(zip(samples, neighbours)):
        own = None if data.labels is None else data.labels[sample]
        title = data.name_of(own)
        cells = [sheet.thumbnail(number, title or f"image {sample + 1}")]
        for place, other in enumerate(found):
            index = len(samples) + number * len(found) + place
            label = None if labels is None else labels[other]
            shown = data.name_of(label) or f"image {other + 1}"
            mark = None if own is None else _mark(own == label)
            cells.append(element("span", sheet.thumbnail(index, shown), mark))
        rows.append(element("div", cells, class_="row"))
    caption = element("figcaption", run_name(measured.run))
    return element("figure", caption, rows, class_="similar"), sheet


def _mark(same: bool) -> Markup:
    return element("b", class_="same" if same else "other")
