"""The health of the representations: spectrum and numbers, without any label."""

import numpy as np

from keras_vicreg.report.figures import significant
from keras_vicreg.report.html import Markup, element, section, table
from keras_vicreg.report.line_chart import Line, line_chart
from keras_vicreg.report.measured import Measured
from keras_vicreg.report.overview import key_of, run_name

FLOOR = 1e-6  # of the largest singular value; what is below is rounding error

# attribute of Quality -> heading, what to want
NUMBERS = {
    "rankme": ("RankMe", "directions in use; more is better"),
    "effective_rank": ("Effective rank", "the same of the covariance matrix"),
    "std_mean": ("Standard deviation", "mean over dimensions; 0 is a collapse"),
    "std_min": ("Least deviation", "0 is a dead dimension"),
    "mean_cosine": ("Mean cosine", "of two images; 1 is a collapse"),
    "uniformity": ("Uniformity", "lower is more uniform; 0 is a collapse"),
}


def health(measured: list[Measured]) -> Markup:
    """The singular spectra over each other, and a table of `kv.quality`."""
    alive = [each for each in measured if each.quality.singular_values[0] > 0]
    collapsed = [each.run.name for each in measured if each not in alive]
    told = (
        "Measured on the representations, without labels. The spectrum shows the "
        "standard deviations along the principal axes: the flatter, the more "
        "directions are in use; a cliff is a dimensional collapse."
    )
    note = f"All representations are the same: {', '.join(collapsed)}."
    return section(
        "health",
        "Health of the representations",
        element("p", told),
        key_of([each.run for each in measured]),
        element("div", _charts(alive), class_="charts") if alive else None,
        element("p", note, class_="note") if collapsed else None,
        table(
            ["", *(run_name(each.run) for each in measured)],
            _rows(measured),
            class_="numbers",
        ),
    )


def _charts(measured: list[Measured]) -> list[Markup]:
    """The spectrum, and how much of the variance the first axes hold."""
    spectra, shares = [], []
    for each in measured:
        values = each.quality.singular_values
        held = np.cumsum(np.square(values)) / np.square(values).sum()
        kept = [(i, v) for i, v in enumerate(values / values[0], 1) if v >= FLOOR]
        spectra.append(Line(each.run.name, each.run.number, kept))
        together = [(i, 100 * share) for i, share in enumerate(held, 1)]
        shares.append(Line(each.run.name, each.run.number, together))
    axis = "principal axis"
    return [
        line_chart("Singular spectrum", spectra, axis, "share of the first", log=True),
        line_chart("Variance held", shares, "first principal axes", "% of all"),
    ]


def _rows(measured: list[Measured]) -> list[list]:
    rows = [
        ["Images", *(each.data.title for each in measured)],
        ["Features", *(f"{each.features.shape[1]:,}" for each in measured)],
    ]
    for name, (heading, meaning) in NUMBERS.items():
        numbers = [significant(getattr(each.quality, name)) for each in measured]
        rows.append([[heading, element("small", meaning)], *numbers])
    return rows
