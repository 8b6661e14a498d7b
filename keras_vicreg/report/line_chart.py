"""A chart of lines as inline SVG, made for a column as wide as a phone."""

import dataclasses
import json
import math

from keras_vicreg.report import figures
from keras_vicreg.report.html import Markup, element

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 42, 14, 8, 36
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclasses.dataclass(frozen=True)
class Line:
    """One line: its name, the number of its colour and dashes, and its points."""

    name: str
    number: int
    points: list[tuple[float, float]]


def line_chart(
    title: str, lines: list[Line], x_label: str, y_label: str, log: bool = False
) -> Markup:
    """Draws lines over each other.

    Args:
        title: stands above the chart.
        lines: at least one of them with a finite point; other points are left out,
            with `log` those that are not positive.
        x_label: what is along the horizontal axis, with its unit.
        y_label: the same, vertical.
        log: whether the vertical axis is logarithmic.

    Returns:
        A `<figure>`. A pointer on it shows the values, by hover.js.
    """
    kept = [dataclasses.replace(line, points=_drawn(line, log)) for line in lines]
    kept = [line for line in kept if line.points]
    xs = [x for line in kept for x, _ in line.points]
    ys = [y for line in kept for _, y in line.points]
    x_ticks = whole_ticks(min(xs), max(xs))
    y_ticks = log_ticks(min(ys), max(ys)) if log else linear_ticks(min(ys), max(ys))
    x_scale = _scale((min(xs), max(xs)), (LEFT, WIDTH - RIGHT))
    ends = (y_ticks[0], y_ticks[-1])
    y_scale = _scale(ends, (HEIGHT - BOTTOM, TOP), math.log10 if log else float)
    name = f"{title}: {', '.join(line.name for line in kept)}"
    drawing = element(
        "svg",
        _grid(x_ticks, y_ticks, x_scale, y_scale, log),
        _label(x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4),
        [_path(line, x_scale, y_scale) for line in kept],
        element(
            "line", class_="cursor", y1=TOP, y2=HEIGHT - BOTTOM, visibility="hidden"
        ),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=name,
        data_chart=_readable(kept, x_label, x_scale),
    )
    caption = element("figcaption", title, element("small", y_label))
    return element("figure", caption, drawing, class_="chart")


def _drawn(line: Line, log: bool) -> list:
    return [(x, y) for x, y in line.points if math.isfinite(y) and (y > 0 or not log)]


def linear_ticks(low: float, high: float) -> list[float]:
    """Round numbers around an interval, three to seven of them."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-30):
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def whole_ticks(low: float, high: float) -> list[float]:
    """Round whole numbers within an interval, and its first."""
    ticks = [tick for tick in linear_ticks(0, high) if low < tick <= high]
    step = (ticks[1] - ticks[0]) if len(ticks) > 1 else high
    whole = [tick for tick in ticks if tick == int(tick) and tick - low > step / 3]
    return [low, *whole]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around an interval of positive numbers."""
    first = math.floor(math.log10(low) + 1e-9)
    last = max(first + 1, math.ceil(math.log10(high) - 1e-9))
    return [10.0**power for power in range(first, last + 1)]


def _scale(domain, pixels, transform=float):
    low, high = map(transform, domain)
    spread = (high - low) or 1.0

    def scale(value: float) -> float:
        share = (transform(value) - low) / spread
        return round(pixels[0] + share * (pixels[1] - pixels[0]), 1)

    return scale


def _grid(x_ticks, y_ticks, x_scale, y_scale, log: bool) -> list:
    """Horizontal lines, and the numbers along both axes."""
    parts = []
    for tick in y_ticks:
        y = y_scale(tick)
        ends = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": y, "y2": y}
        parts.append(element("line", class_="grid", **ends))
        shown = _power(tick) if log else figures.tick(tick)
        parts.append(_label(shown, LEFT - 6, y + 4, anchor="end"))
    for tick in x_ticks:
        parts.append(_label(figures.tick(tick), x_scale(tick), HEIGHT - BOTTOM + 15))
    return parts


def _power(tick: float) -> str:
    """`0.01` -> `"10⁻²"`."""
    power = round(math.log10(tick))
    return f"10{str(power).translate(SUPERSCRIPTS)}" if power else "1"


def _label(content: str, x: float, y: float, anchor: str = "middle") -> Markup:
    return element("text", content, x=x, y=y, text_anchor=anchor)


def _path(line: Line, x_scale, y_scale) -> Markup:
    points = [f"{x_scale(x)} {y_scale(y)}" for x, y in line.points]
    if len(points) == 1:  # a line of no length is seen where its ends are round
        points *= 2
    return element(
        "path", class_=f"line run-{line.number % 8}", d=f"M{'L'.join(points)}"
    )


def _readable(lines: list[Line], x_label: str, x_scale) -> str:
    """What hover.js shows: per line x, its place in the drawing, and the value."""
    return json.dumps(
        {
            "x": x_label,
            "lines": [
                {
                    "name": line.name,
                    "run": line.number % 8,
                    "points": [
                        (x, x_scale(x), figures.significant(y)) for x, y in line.points
                    ],
                }
                for line in lines
            ],
        },
        separators=(",", ":"),
    )
