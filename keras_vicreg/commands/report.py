"""`keras-vicreg report`: its options, and what it does.

Nothing is imported before the command runs, so that `--help` answers at once.
"""

from keras_vicreg.commands.options import output_file
from keras_vicreg.terminal import printable


def add_report(commands, shared) -> None:
    """Adds `keras-vicreg report` to the subparsers."""
    parser = commands.add_parser(
        "report",
        parents=[shared],
        help="one HTML page about one or several runs",
        description="Writes one HTML file, needing nothing else, about one or several "
        "runs over each other: curves, spectrum, accuracies with intervals, confusion "
        "matrix, a map of the representations, neighbours, views, configuration.",
    )
    parser.set_defaults(command=run_report)
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folder")
    parser.add_argument(
        "--out",
        metavar="FILE.html",
        type=output_file,
        default="report.html",
        help="default: report.html",
    )


def run_report(options) -> None:
    """`keras-vicreg report`.

    Args:
        options: what `add_report` reads.

    Raises:
        ValueError: if a folder holds no run, or its files are damaged.
    """
    from keras_vicreg.report import write_report

    path = write_report(options.runs, options.out, verbose=True)
    print(f"Written: {printable(path)}, {path.stat().st_size / 1e6:.1f} MB")
