"""A map of the representations: similar images lie near each other."""

import json

import numpy as np

from keras_vicreg.evaluation.subsets import evenly
from keras_vicreg.report.html import Markup, element, section, text
from keras_vicreg.report.measured import Measured
from keras_vicreg.report.overview import run_name
from keras_vicreg.report.sprites import Sheet

MOST = 1000  # images on a map
LEAST = 8
SIDE = 400
RADIUS = 4
COLOURED = 12  # classes that can be told apart
APART = 0.072  # least distance of two pictures, as a share of the side
NO_MAP = "No map: there are too few images, or all representations are the same."


def project(features, seed: int = 0) -> np.ndarray | None:
    """Lays out representations in the plane by t-SNE of their cosine distances.

    It starts from the first two principal components and runs in one thread, so that
    equal representations give an equal map.

    Args:
        features: array `(n, features)`.
        seed: int. Defaults to 0.

    Returns:
        Array `(n, 2)` in 0..1, or `None` where there is nothing to lay out: fewer than
        8 images, one feature, or representations that all point one way.

    Reference:
        van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(norms > 0, norms, 1)
    if len(unit) < LEAST or unit.shape[1] < 2 or np.ptp(unit, axis=0).max() < 1e-5:
        return None
    perplexity = min(30, (len(unit) - 1) / 3)
    with threadpool_limits(1):
        plane = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        placed = plane.fit_transform(unit)
    low, high = placed.min(axis=0), placed.max(axis=0)
    middle, spread = (low + high) / 2, max(high - low)
    return 0.5 + (placed - middle) / (spread * 1.1)


def representation_maps(measured: list[Measured]) -> tuple[Markup, list[Sheet]]:
    """A map for each run, and the pictures that they show."""
    figures, sheets = [], {}
    for each in measured:
        rows = evenly((np.arange(len(each.features)),), MOST)[0]
        key = id(each.data)
        if key not in sheets:
            sheets[key] = Sheet(each.data.images[rows], f"sheet-{len(sheets)}")
        figures.append(_figure(each, rows, sheets[key]))
    told = (
        "Each point is an image; the nearer two points, the more similar are the "
        "representations to the encoder (t-SNE of the cosine distances; axes have no "
        "unit, and distances between far groups mean little). Point at one to see it."
    )
    page = section(
        "map",
        "Map of the representations",
        element("p", told),
        element("div", figures, class_="pair"),
    )
    return page, list(sheets.values())


def _figure(measured: Measured, rows, sheet: Sheet) -> Markup:
    caption = element(
        "figcaption",
        run_name(measured.run),
        element("small", f"{len(rows):,} of {measured.data.title}"),
    )
    places = project(measured.features[rows])
    if places is None:
        return element("figure", caption, element("p", NO_MAP, class_="note"))
    labels = None if measured.data.labels is None else measured.data.labels[rows]
    names = [measured.data.name_of(each) for each in ([] if labels is None else labels)]
    names = names or [f"image {row + 1}" for row in rows]
    known = sorted(set(names)) if labels is not None else []
    coloured = known if len(known) <= COLOURED else []
    return element(
        "figure",
        caption,
        _choice(measured.run.number, pictures=not coloured),
        element(
            "div",
            _points(places, names, coloured),
            _pictures(places, names, sheet),
            class_="map",
            data_map=_readable(places, names, sheet),
        ),
        _legend(coloured),
        class_="mapped",
    )


def _choice(number: int, pictures: bool) -> Markup:
    """Two buttons, of which one is chosen, that need no script."""
    buttons = []
    for value, chosen in (("Points", not pictures), ("Pictures", pictures)):
        button = element(
            "input",
            type="radio",
            name=f"map-{number}",
            value=value,
            checked=chosen,
            class_=value.lower(),
        )
        buttons.append(element("label", button, value))
    return element("div", buttons, class_="choice")


def _points(places, names, coloured) -> Markup:
    """One path a class: the colour and the shape of its points."""
    groups = coloured or [None]
    paths = []
    for number, group in enumerate(groups):
        members = [place for place, name in zip(places, names) if group in (None, name)]
        shape = "".join(_shape(number, *(SIDE * place)) for place in members)
        paths.append(element("path", class_=f"dots class-{number}", d=shape))
    ring = element("circle", class_="ring", r=2 * RADIUS, visibility="hidden")
    return element(
        "svg",
        paths,
        ring,
        viewBox=f"0 0 {SIDE} {SIDE}",
        role="img",
        aria_label="Map of the representations",
    )


def _shape(number: int, x: float, y: float) -> str:
    """A circle, square, triangle or diamond, so that colour is not all that tells."""
    r = RADIUS
    x, y = round(float(x), 1), round(float(y), 1)
    return (
        f"M{x - r:.1f} {y}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z",
        f"M{x - r + 0.5:.1f} {y - r + 0.5:.1f}h{2 * r - 1}v{2 * r - 1}h{1 - 2 * r}z",
        f"M{x} {y - r - 0.5:.1f}l{r + 0.5} {2 * r}h{-2 * r - 1}z",
        f"M{x} {y - r - 1:.1f}l{r + 1} {r + 1}l{-r - 1} {r + 1}l{-r - 1} {-r - 1}z",
    )[number % 4]


def _pictures(places, names, sheet: Sheet) -> Markup:
    """As many pictures as find room, each where its image is on the map."""
    shown = []
    for index, place in enumerate(places):
        if all(np.abs(place - places[other]).max() >= APART for other in shown):
            shown.append(index)
    thumbnails = [
        sheet.thumbnail(
            index,
            names[index],
            f"left:{100 * places[index][0]:.1f}%;top:{100 * places[index][1]:.1f}%",
        )
        for index in shown
    ]
    return element("div", thumbnails, class_="layer")


def _legend(coloured) -> Markup | None:
    if not coloured:
        return None
    items = []
    for number, name in enumerate(coloured):
        shape = element("path", class_=f"dots class-{number}", d=_shape(number, 6, 6))
        sample = element("svg", shape, viewBox="0 0 12 12", aria_hidden="true")
        items.append(element("button", sample, name, type="button", data_class=number))
    return element("p", text(items), class_="legend")


def _readable(places, names, sheet: Sheet) -> str:
    """What hover.js shows: place, position in the sheet and name of each image."""
    points = [
        [round(float(x), 4), round(float(y), 4), sheet.position(index), name]
        for index, ((x, y), name) in enumerate(zip(places, names))
    ]
    return json.dumps({"sheet": sheet.name, "points": points}, separators=(",", ":"))
