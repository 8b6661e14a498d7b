"""Protocols by name, as the command line calls them, and the table of results."""

from keras_vicreg.evaluation.clustering import clustering
from keras_vicreg.evaluation.features import embed, embed_labelled
from keras_vicreg.evaluation.knn import knn
from keras_vicreg.evaluation.linear_probe import linear_probe
from keras_vicreg.evaluation.quality import quality
from keras_vicreg.evaluation.retrieval import retrieval
from keras_vicreg.terminal import printable

# name -> what it measures. Those of `LABELLED` need labels.
LABELLED = ("knn", "linear", "linear_sgd", "clustering", "retrieval")
PROTOCOLS = (*LABELLED, "quality")
# What `keras-vicreg cluster` adds, after a training.
SCAN = "scan"
RESULTS = (*LABELLED, SCAN, "quality")


def check_protocols(protocols) -> None:
    """Raises unless all `protocols` are known."""
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown or not protocols:
        raise ValueError(
            f"`protocol` must be among {', '.join(PROTOCOLS)}. "
            f"Received: {', '.join(unknown) or 'none'}"
        )


def measure(
    encoder, train, test, protocols=("knn", "linear"), split: str | None = None
) -> dict:
    """Results of an encoder by several protocols, each image embedded once.

    Args:
        encoder: an encoder, or `None` for the pixels themselves.
        train: `(images, labels)` or a labelled `tf.data.Dataset`; `None` if no
            protocol needs it.
        test: the same, or images alone for `"quality"`. Clustering, retrieval and
            quality look at the test images alone.
        protocols: names of `PROTOCOLS`.
        split: what the settings call the test images. Defaults to `None`, nothing.

    Returns:
        A dict: name of the protocol -> what it found, with its interval and settings,
        ready for JSON.
    """
    check_protocols(protocols)
    if set(LABELLED) & set(protocols) or isinstance(test, (tuple, list)):
        tested = embed_labelled(encoder, test, name="test")
    else:
        tested = embed(encoder, test), None
    if {"knn", "linear"} & set(protocols):
        trained = embed_labelled(encoder, train, name="train")
    measured = {
        "knn": lambda: knn(None, trained, tested),
        "linear": lambda: linear_probe(None, trained, tested),
        "linear_sgd": lambda: linear_probe(encoder, train, test, "sgd"),
        "clustering": lambda: clustering(None, tested),
        "retrieval": lambda: retrieval(None, tested),
        "quality": lambda: quality(tested[0]),
    }
    found = {name: measured[name]().as_dict() for name in protocols}
    for row in found.values():
        if split is not None and "settings" in row:
            row["settings"]["split"] = split
    return found


def table(results: dict) -> str:
    """The results of several encoders, a line each: percent, and 95 % intervals."""
    protocols = list(dict.fromkeys(name for row in results.values() for name in row))
    rows = {"": [printable(name) for name in protocols]}
    for name, row in results.items():
        rows[printable(name)] = [
            headline(row[p]) if row.get(p) else "" for p in protocols
        ]
    first = max(map(len, rows))
    width = max(22, *(len(cell) for row in rows.values() for cell in row)) + 2
    return "\n".join(
        f"{name:>{first}}" + "".join(f"{cell:>{width}}" for cell in row)
        for name, row in rows.items()
    )


def headline(found: dict) -> str:
    """The one figure of a result that a table shows, with its interval."""
    if "rankme" in found:
        return f"rank {found['rankme']:.1f} of {len(found['singular_values'])}"
    if "recall" in found:
        k = next(iter(found["recall"]))
        return percent(found["recall"][k], found["recall_intervals"][k])
    name = "top1" if "top1" in found else "accuracy"
    return percent(found[name], found[f"{name}_interval"])


def percent(value: float, interval) -> str:
    """`"44.4% (39.2% to 49.5%)"`."""
    return f"{value:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"
