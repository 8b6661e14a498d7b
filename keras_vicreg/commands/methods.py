"""`keras-vicreg methods`: the methods beside each other.

No framework is imported.
"""

from keras_vicreg.runs.recommended import RECOMMENDED


def add_methods(commands, shared) -> None:
    """Adds `keras-vicreg methods` to the subparsers."""
    parser = commands.add_parser(
        "methods", parents=[shared], help="what `pretrain --method` takes"
    )
    parser.set_defaults(command=lambda options: print(table()), framework=False)


def table() -> str:
    """What prevents collapse, what is kept and how it is trained; then the papers."""
    head = ("method", "no collapse owing to", "keeps beside the network", "optimizer")
    rows = [
        (name, of.prevents_collapse, of.keeps, optimizers(of))
        for name, of in RECOMMENDED.items()
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in (head, *rows)
    ]
    papers = [f"{name:{widths[0]}}  {of.paper}" for name, of in RECOMMENDED.items()]
    return "\n".join([*lines, "", *papers])


def optimizers(of) -> str:
    """The optimizer for small images and, where it is another, for large ones."""
    return "/".join(dict.fromkeys((of.small.optimizer, of.large.optimizer)))
