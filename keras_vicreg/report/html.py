"""HTML as text, in which all that is not HTML already is escaped."""

import html
from collections.abc import Iterable

VOID = ("input", "link", "meta")


class Markup(str):
    """Text that is HTML already: `element` takes it as it is."""


def element(tag: str, *content, **attributes) -> Markup:
    """One element of HTML or SVG.

    Args:
        tag: its name.
        *content: what stands in it: `Markup` as it is, other text escaped, numbers,
            lists of these; `None` is left out.
        **attributes: their values are escaped. `class_` is class, other underscores
            are hyphens; `None` and `False` are left out, `True` has no value.

    Example:

    >>> element("td", "a < b", class_="n", colspan=2)
    '<td class="n" colspan="2">a &lt; b</td>'
    """
    parts = [tag]
    for name, value in attributes.items():
        name = name.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(name)
        elif value is not None and value is not False:
            parts.append(f'{name}="{html.escape(str(value))}"')
    opening = f"<{' '.join(parts)}>"
    return Markup(opening if tag in VOID else f"{opening}{text(*content)}</{tag}>")


def text(*content) -> Markup:
    """Content without an element around it; see `element`."""
    return Markup("".join(_flat(content)))


def _flat(content):
    for part in content:
        if isinstance(part, Markup):
            yield str(part)
        elif isinstance(part, Iterable) and not isinstance(part, str):
            yield from _flat(part)
        elif part is not None:
            yield html.escape(str(part))


def section(name: str, title: str, *content) -> Markup:
    """A part of the page with its heading; `name` is its anchor."""
    return element("section", element("h2", title), *content, id=name)


def table(head: list, rows: list, **attributes) -> Markup:
    """A table that scrolls within itself where the page is narrow.

    Args:
        head: content of the cells of the first line.
        rows: lists of contents; the first is the row's header.
        **attributes: of the table.
    """
    columns = element("tr", [element("th", cell, scope="col") for cell in head])
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            [element("td", cell) for cell in row[1:]],
        )
        for row in rows
    ]
    whole = element(
        "table", element("thead", columns), element("tbody", body), **attributes
    )
    return element("div", whole, class_="wide")
