"""Retrieval: is an image of the same class among the nearest?"""

import dataclasses

import numpy as np

from keras_vicreg.evaluation.accuracy import bootstrap_interval
from keras_vicreg.evaluation.features import embed_labelled
from keras_vicreg.evaluation.neighbours import check_k, nearest
from keras_vicreg.evaluation.result import Result


@dataclasses.dataclass(frozen=True)
class Retrieval(Result):
    """The result of `kv.retrieval`.

    Attributes:
        recall: by k, the share of queries with an image of their class among the k
            nearest; fractions in 0..1.
        recall_intervals: by k, the 95 % bootstrap interval over queries.
        neighbours: indices of the nearest images of each query, `(queries, max k)`.
        settings: everything that it was run with.
    """

    recall: dict[int, float]
    recall_intervals: dict[int, tuple[float, float]]
    neighbours: np.ndarray = dataclasses.field(repr=False, compare=False)
    settings: dict


def retrieval(
    encoder,
    queries,
    gallery=None,
    k: tuple[int, ...] = (1, 5, 10),
    *,
    batch_size: int = 256,
) -> Retrieval:
    """Searches for each query the most similar images, by cosine.

    Args:
        encoder: a Keras model, or `None` for the pixels; see `kv.embed`.
        queries: pair `(images, labels)` of arrays, or a labelled `tf.data.Dataset`.
        gallery: the same, where to search. Defaults to `None`: among the queries
            themselves, each one's own image left out.
        k: ints, how many nearest images count. Defaults to `(1, 5, 10)`.
        batch_size: int, images to encode at once. Defaults to 256.

    Returns:
        A `Retrieval`.

    Raises:
        ValueError: if a `k` is larger than the number of images to search.

    Example:

    >>> test = kv.load_images("sample", 32, split="test", labels=True)
    >>> kv.retrieval(encoder, test).recall[1]
    """
    looked_for, labels = embed_labelled(
        encoder, queries, name="queries", batch_size=batch_size
    )
    alone = gallery is None
    found_in, answers = (
        (looked_for, labels)
        if alone
        else embed_labelled(encoder, gallery, name="gallery", batch_size=batch_size)
    )
    size = len(found_in) - alone
    k = check_k(k, size)
    neighbours, _ = nearest(looked_for, found_in, max(k) + alone)
    if alone:
        neighbours = _without_self(neighbours)
    hits = answers[neighbours] == labels[:, None]
    found = {each: hits[:, :each].any(axis=1) for each in k}
    return Retrieval(
        recall={each: float(found[each].mean()) for each in k},
        recall_intervals={each: bootstrap_interval(found[each]) for each in k},
        neighbours=neighbours,
        settings={
            "protocol": "retrieval",
            "queries": len(labels),
            "gallery": size,
            "own_image_left_out": alone,
        },
    )


def _without_self(neighbours):
    """Removes from row i the index i, or the last one where equal images hid it."""
    own = neighbours == np.arange(len(neighbours))[:, None]
    own[~own.any(axis=1), -1] = True
    return neighbours[~own].reshape(len(neighbours), -1)
