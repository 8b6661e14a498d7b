"""Numbers as a reader wants them."""

import math

NARROW = "\N{NARROW NO-BREAK SPACE}"


def significant(value: float) -> str:
    """Three significant digits: `"0.486"`, `"44.0"`, `"1,234"`."""
    if 1e-4 <= abs(value) < 999.5:
        return _signed(f"{value:#.3g}".rstrip("."))
    return tick(value)


def tick(value: float) -> str:
    """A round number, such as along an axis: `"0.5"`, `"44"`, `"1,000"`."""
    if not math.isfinite(value):
        return "not finite"
    if abs(value) >= 999.5:
        return _signed(f"{value:,.0f}")
    if 0 < abs(value) < 1e-4:
        return _signed(f"{value:.1e}")
    return _signed(f"{value:.4g}")


def _signed(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}", 1) if number[0] == "-" else number


def percent(share: float) -> str:
    """`0.5134` -> `"51.3 %"`."""
    return f"{100 * share:.1f}{NARROW}%"


def between(interval) -> str:
    """An interval of shares: `"46.2 to 56.5"`."""
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f}"


def duration(seconds: float) -> str:
    """`"45 s"`, `"12 min"`, `"3 h 5 min"`."""
    if seconds < 100:
        return f"{seconds:.0f}{NARROW}s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes}{NARROW}min"
    return f"{minutes // 60}{NARROW}h {minutes % 60}{NARROW}min"
