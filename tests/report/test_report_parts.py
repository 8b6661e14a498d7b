"""The parts of the report that need no run: escaping, numbers, ticks, projection."""

import numpy as np
import pytest

from keras_vicreg.report import figures
from keras_vicreg.report.html import Markup, element, table, text
from keras_vicreg.report.line_chart import linear_ticks, log_ticks, whole_ticks
from keras_vicreg.report.representation_map import project


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (element("p", "a < b & c"), "<p>a &lt; b &amp; c</p>"),
        (element("p", Markup("<b>"), "<b>"), "<p><b>&lt;b&gt;</p>"),
        (element("p", title='" onclick="x'), '<p title="&quot; onclick=&quot;x"></p>'),
        (element("i", class_="a", data_x=1, hidden=True, id=None), None),
        (element("meta", charset="utf-8"), '<meta charset="utf-8">'),
        (text(["<", [3, None]], Markup("<br>")), "&lt;3<br>"),
        (element("p", element("b", "<")), "<p><b>&lt;</b></p>"),
    ],
)
def test_all_that_is_not_markup_is_escaped(made, expected):
    assert made == (expected or '<i class="a" data-x="1" hidden></i>')


def test_a_table_escapes_its_cells():
    made = table(["<", "b"], [["<a>", ["x", Markup("<i>")]]], class_="numbers")
    assert made == (
        '<div class="wide"><table class="numbers"><thead><tr><th scope="col">&lt;</th>'
        '<th scope="col">b</th></tr></thead><tbody><tr><th scope="row">&lt;a&gt;</th>'
        "<td>x<i></td></tr></tbody></table></div>"
    )


def test_map_keeps_groups_apart_and_is_the_same_every_time():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 30)
    z = 8 * np.eye(3, 10)[groups] + rng.standard_normal((90, 10))
    places = project(z)
    assert places.min() >= 0
    assert places.max() <= 1
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).mean() > 0.95
    np.testing.assert_array_equal(places, project(z))
    assert project(np.ones((90, 10))) is None
    assert project(z[:5]) is None


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        (linear_ticks(16.8, 21.8), [16, 18, 20, 22]),
        (linear_ticks(0, 1), [0, 0.25, 0.5, 0.75, 1]),
        (linear_ticks(3, 3), [1, 2, 3, 4, 5]),
        (whole_ticks(1, 200), [1, 50, 100, 150, 200]),
        (whole_ticks(1, 3), [1, 2, 3]),
        (whole_ticks(1, 1), [1]),
        (log_ticks(0.015, 1), [0.01, 0.1, 1]),
        (log_ticks(1, 1), [1, 10]),
    ],
)
def test_ticks_are_round_numbers(ticks, expected):
    assert ticks == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (figures.significant(44), "44.0"),
        (figures.significant(0.48629), "0.486"),
        (figures.significant(-2.06), "\N{MINUS SIGN}2.06"),
        (figures.significant(123.4), "123"),
        (figures.significant(1234), "1,234"),
        (figures.significant(1.26e-6), "1.3e-06"),
        (figures.significant(0), "0"),
        (figures.significant(float("nan")), "not finite"),
        (figures.tick(0.25), "0.25"),
        (figures.duration(90), "90\u202fs"),
        (figures.duration(4983), "83\u202fmin"),
        (figures.duration(11100), "3\u202fh 5\u202fmin"),
    ],
)
def test_numbers_as_a_reader_wants_them(shown, expected):
    assert shown == expected
