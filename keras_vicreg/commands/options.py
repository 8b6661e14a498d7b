"""What the words after an option must be, found out before anything else is done.

Each function is, or makes, a `type` of argparse, whose error becomes one line that
names the option; nothing here imports a framework.
"""

import argparse
import math
import tempfile
from pathlib import Path

LARGEST = 2**31 - 1  # what every backend takes for an integer
LARGEST_SEED = 2**32 - 1  # of Keras and NumPy


def whole(least: int, most: int = LARGEST):
    """An integer in a range."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise _refusal(f"an integer of at least {least} and at most {most}", text)
        return value

    return convert


def positive(text: str) -> float:
    """A finite number above 0."""
    return _number(text, "more than 0", lambda value: value > 0)


def not_negative(text: str) -> float:
    """A finite number, 0 or above."""
    return _number(text, "at least 0", lambda value: value >= 0)


def share(text: str) -> float:
    """A number above 0, at most 1."""
    return _number(text, "more than 0 and at most 1", lambda value: 0 < value <= 1)


def part(text: str) -> float:
    """A number above 0 and below 1."""
    return _number(text, "more than 0 and less than 1", lambda value: 0 < value < 1)


def portion(text: str) -> float:
    """A number from 0 to 1."""
    return _number(text, "0 to 1", lambda value: 0 <= value <= 1)


def widths(text: str) -> tuple[int, ...]:
    """`"512,512"` -> `(512, 512)`."""
    try:
        return tuple(map(whole(1), text.split(",")))
    except argparse.ArgumentTypeError:
        raise _refusal("positive integers with commas between", text) from None


def output_file(text: str) -> str:
    """The path of a file that can be written, new or in place of another."""
    try:
        check_output_file(Path(_filled(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def output_folder(text: str) -> str:
    """The path of a folder that can be written into, or made."""
    there = Path(_filled(text)).absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise _refusal("a folder", f"{text} ({there} is a file)")
    if reason := _unwritable(there):
        raise _refusal("a folder that can be written to", f"{text} ({reason})")
    return text


def check_output_file(path: Path) -> None:
    """Raises a `ValueError` where no file could be written, before the work for it."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"must be a file. Received: {path} ({kind})")
    if reason := _unwritable(path.parent):
        raise ValueError(
            "must be a file in a folder that is there and can be written to. "
            f"Received: {path} ({reason})"
        )


def _number(text: str, rule: str, holds) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and holds(value)):
        raise _refusal(f"a number, {rule}", text)
    return value


def _filled(text: str) -> str:
    """Anything but nothing, which is what a variable of the shell gives by mistake."""
    if not text.strip():
        raise _refusal("more than an empty word", text)
    return text


def _unwritable(folder: Path) -> str | None:
    """Why no file can be made in a folder, by trying: permissions do not tell all."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder}: {error.strerror}"


def _refusal(rule: str, text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"must be {rule}. Received: {text!r}")
