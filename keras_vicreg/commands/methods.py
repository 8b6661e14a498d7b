"""`keras-vicreg methods`: the methods beside each other.

No framework is imported.
"""

from keras_vicreg.runs.recommended import RECOMMENDED

MEMORY = """\
MB: peak memory of a training of ResNet-18 of a quarter of the width, in batches
of 256 images of 32 px, float32, on one GPU."""
SCAN = """\
SCAN (Van Gansbeke et al., ECCV 2020, arxiv.org/abs/2005.12320) goes on from an
encoder that one of these has trained: `keras-vicreg cluster`."""


def add_methods(commands, shared) -> None:
    """Adds `keras-vicreg methods` to the subparsers."""
    parser = commands.add_parser(
        "methods", parents=[shared], help="what `pretrain --method` takes"
    )
    parser.set_defaults(command=lambda options: print(table()), framework=False)


def table() -> str:
    """What prevents collapse, what is kept and how it is trained; then the papers."""
    head = ("method", "no collapse owing to", "keeps beside network", "optimizer")
    head += ("MB",)
    rows = [
        (name, of.prevents_collapse, of.keeps, optimizers(of), str(of.memory))
        for name, of in RECOMMENDED.items()
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in (head, *rows)
    ]
    papers = [f"{name:{widths[0]}}  {of.paper}" for name, of in RECOMMENDED.items()]
    return "\n".join([*lines, "", MEMORY, "", *papers, "", SCAN])


def optimizers(of) -> str:
    """The optimizer for small images and, where it is another, for large ones."""
    return "/".join(dict.fromkeys((of.small.optimizer, of.large.optimizer)))
