"""The check of numbers that training is told: rates, decays, lengths."""

import math
from numbers import Real


def check_finite(name: str, value, *, positive: bool = False) -> None:
    """Raises unless a value is a number of at least 0, which NaN and infinity are not.

    Args:
        name: of the argument, for the message.
        value: anything.
        positive: whether it must not be 0 either. Defaults to `False`.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and 0 <= value < math.inf) or (positive and value == 0):
        least = "greater than 0" if positive else "at least 0"
        raise ValueError(
            f"`{name}` must be {least} and finite. Received: {name}={value!r}"
        )
