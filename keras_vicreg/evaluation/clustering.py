"""k-means on representations, compared with the classes."""

import dataclasses
import numbers

import numpy as np

from keras_vicreg.evaluation.accuracy import bootstrap_interval
from keras_vicreg.evaluation.features import embed_labelled
from keras_vicreg.evaluation.result import Result


@dataclasses.dataclass(frozen=True)
class Clustering(Result):
    """Clusters beside classes: the result of `kv.clustering`.

    Attributes:
        accuracy: share of the images that are in the cluster of their class, clusters
            and classes paired as well as can be; a fraction in 0..1.
        accuracy_interval: its 95 % bootstrap interval over images.
        nmi: normalised mutual information of clusters and classes, 0..1.
        ari: adjusted Rand index, 0 for chance, 1 for equal partitions.
        assignments: cluster of each image, `(n,)`.
        settings: everything that it was run with.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    nmi: float
    ari: float
    assignments: np.ndarray = dataclasses.field(repr=False, compare=False)
    settings: dict


def clustering(
    encoder,
    data,
    clusters: int | None = None,
    *,
    seed: int = 0,
    batch_size: int = 256,
) -> Clustering:
    """Clusters images by their representations and compares clusters with classes.

    k-means, the best of ten starts, on representations scaled to length 1. The labels
    are looked at only afterwards.

    Args:
        encoder: a Keras model, or `None` for the pixels; see `kv.embed`.
        data: pair `(images, labels)` of arrays, or a labelled `tf.data.Dataset`.
        clusters: int, number of clusters. Defaults to the number of classes.
        seed: int. Defaults to 0.
        batch_size: int, images to encode at once. Defaults to 256.

    Returns:
        A `Clustering`.

    Raises:
        ValueError: if there are fewer images than clusters.

    Example:

    >>> test = kv.load_images("sample", 32, split="test", labels=True)
    >>> kv.clustering(encoder, test).nmi
    """
    from sklearn.cluster import KMeans

    features, labels = embed_labelled(encoder, data, name="data", batch_size=batch_size)
    clusters = len(np.unique(labels)) if clusters is None else clusters
    whole = isinstance(clusters, numbers.Integral)
    if not whole or not 1 <= clusters <= len(features):
        raise ValueError(
            "`clusters` must be a positive integer, at most the number of images. "
            f"Received: clusters={clusters!r} for {len(features)} images"
        )
    clusters = int(clusters)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(norms > 0, norms, 1)
    found = KMeans(clusters, n_init=10, random_state=seed).fit(unit).labels_
    settings = {"protocol": "clustering", "clusters": clusters, "seed": seed}
    return compared(found, labels, settings)


def compared(assignments, labels, settings: dict) -> Clustering:
    """How clusters of any origin and classes agree.

    Args:
        assignments: int array `(n,)`, cluster of each image.
        labels: int array `(n,)`, class of each.
        settings: dict, how the clusters were found.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    right = matched(assignments, labels)
    return Clustering(
        accuracy=float(right.mean()),
        accuracy_interval=bootstrap_interval(right),
        nmi=float(normalized_mutual_info_score(labels, assignments)),
        ari=float(adjusted_rand_score(labels, assignments)),
        assignments=assignments,
        settings={
            **settings,
            "classes": len(np.unique(labels)),
            "images": len(labels),
        },
    )


def matched(clusters, labels) -> np.ndarray:
    """Where an image is in the cluster of its class, under the best pairing.

    Args:
        clusters: array `(n,)`, cluster of each image.
        labels: array `(n,)`, class of each image.

    Returns:
        Boolean array `(n,)`. Its mean is the clustering accuracy.

    Reference:
        Kuhn, "The Hungarian method for the assignment problem", 1955.
    """
    from scipy.optimize import linear_sum_assignment

    rows, cluster_of = np.unique(clusters, return_inverse=True)
    columns, class_of = np.unique(labels, return_inverse=True)
    table = np.zeros((len(rows), len(columns)), int)
    np.add.at(table, (cluster_of, class_of), 1)
    partner = np.full(len(rows), -1)
    chosen = linear_sum_assignment(table, maximize=True)
    partner[chosen[0]] = chosen[1]
    return partner[cluster_of] == class_of
