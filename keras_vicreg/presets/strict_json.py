"""JSON read without mercy: what has two readings has none."""

import json
import math


def loads(data: bytes):
    """Parses UTF-8 JSON, refusing all that readers disagree about.

    Args:
        data: the whole document.

    Returns:
        Dicts, lists, strings, finite numbers, booleans and `None`.

    Raises:
        ValueError: if it is no JSON, or holds a key twice, NaN or an infinity, a
            number of too many digits, or a nesting too deep.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def dumps(value) -> bytes:
    """The one spelling of `value`: what `loads` reads, this writes back unchanged."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8") + b"\n"


def _unique(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("it holds a key twice")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds a number that is not finite, {text[:20]}")
    return number
