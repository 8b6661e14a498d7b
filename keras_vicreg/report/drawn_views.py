"""What the encoder was trained on: images beside two views of each."""

import numpy as np

import keras_vicreg as kv
from keras_vicreg.evaluation.subsets import evenly
from keras_vicreg.report.html import Markup, element, section
from keras_vicreg.report.measured import Measured
from keras_vicreg.report.overview import run_name
from keras_vicreg.report.sprites import Sheet
from keras_vicreg.views.preview import fit

SAMPLES = 8
CELL = 96


def drawn_views(measured: list[Measured]) -> tuple[Markup, list[Sheet]]:
    """Views as each recipe makes them, once for runs with equal ones."""
    alike = {}
    for each in measured:
        recipe = each.run.recipe.resolved(min(each.data.images.shape[1:3]))
        key = recipe.views, recipe.image_size, recipe.seed, id(each.data)
        alike.setdefault(key, []).append(each)
    figures, sheets = [], []
    for number, (key, those) in enumerate(alike.items()):
        sheet = Sheet(
            _pictures(those[0].data.images, *key[:3]), f"views-{number}", CELL
        )
        figures.append(_figure(those, key, sheet))
        sheets.append(sheet)
    told = (
        "Left, an image; right of it, two random views, which pretraining draws "
        "together. Every image and every epoch has views of its own."
    )
    page = section(
        "views", "Views", element("p", told), element("div", figures, class_="pair")
    )
    return page, sheets


def _pictures(images, recipe: str, size: int, seed: int) -> np.ndarray:
    """Each image and its two views, one after another, all in cells of one size."""
    import keras

    (chosen,) = evenly((images,), SAMPLES)
    views = kv.TwoViews(size, recipe=recipe, seed=seed)(chosen)
    views = [keras.ops.convert_to_numpy(view) for view in views[:2]]
    rows = [_square(pictures) for pictures in (chosen, *views)]
    return np.stack(rows, axis=1).reshape(-1, CELL, CELL, 3)


def _square(images) -> np.ndarray:
    """Images in the middle of white squares."""
    scaled = fit(np.asarray(images), (CELL, CELL))
    height, width = scaled.shape[1:3]
    squares = np.full((len(scaled), CELL, CELL, 3), 255, "float32")
    top, left = (CELL - height) // 2, (CELL - width) // 2
    squares[:, top : top + height, left : left + width] = scaled
    return squares


def _figure(those: list[Measured], key, sheet: Sheet) -> Markup:
    names = [run_name(each.run) for each in those]
    groups = []
    for image in range(sheet.count // 3):
        parts = ["image", "first view", "second view"]
        cells = [
            sheet.thumbnail(3 * image + place, f"{part} {image + 1}")
            for place, part in enumerate(parts)
        ]
        groups.append(element("div", cells, class_="triple"))
    caption = element(
        "figcaption", names, element("small", f"recipe {key[0]}, {key[1]} px")
    )
    return element("figure", caption, element("div", groups, class_="triples"))
