"""Text of strangers as a terminal may show it."""

import unicodedata


def printable(text) -> str:
    """Text in which nothing commands the terminal that shows it.

    What is no character to look at becomes its escape, as in Python's source:
    controls (an escape sequence can rewrite lines, titles and links; a line break can
    pass for another line of ours), marks that turn the direction of reading, invisible
    characters, and halves of characters that no encoding has.

    Args:
        text: Anything; `str(text)` is shown.

    Returns:
        One line.

    Example:

    >>> print(printable("a\\x1b[2Kb"))
    a\\x1b[2Kb
    """
    return "".join(char if _is_visible(char) else _escape(char) for char in str(text))


def _is_visible(char) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # wide spaces


def _escape(char) -> str:
    return char.encode("unicode_escape").decode("ascii")
