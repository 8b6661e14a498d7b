"""The weighted nearest-neighbour classifier."""

import dataclasses

import numpy as np

from keras_vicreg.evaluation.accuracy import Accuracy, accuracy_fields, score
from keras_vicreg.evaluation.features import embed_labelled
from keras_vicreg.evaluation.neighbours import check_k, nearest


@dataclasses.dataclass(frozen=True)
class KNN(Accuracy):
    """The result of `kv.knn`; see `Accuracy`.

    Attributes:
        top1_by_k: top-1 accuracy of every k that was asked for.
    """

    top1_by_k: dict[int, float]


def knn(
    encoder,
    train,
    test,
    k: int | tuple[int, ...] = 20,
    temperature: float = 0.07,
    *,
    batch_size: int = 256,
) -> KNN:
    """Classifies test images by their nearest training images.

    The k training images with the largest cosine similarity s of their
    representations vote for their class with the weight exp(s / temperature). The
    neighbours are exact, whatever the sizes, and memory stays bounded; nothing is
    tuned on the test images.

    Args:
        encoder: a Keras model, or `None` for the pixels; see `kv.embed`.
        train: pair `(images, labels)` of arrays, or a labelled `tf.data.Dataset`.
        test: the same.
        k: int, the number of neighbours; or several, of which the first gives the
            result and all are in `top1_by_k`. Defaults to 20.
        temperature: float, smaller trusts the nearest more. Defaults to 0.07.
        batch_size: int, images to encode at once. Defaults to 256.

    Returns:
        A `KNN` with `top1`, `top1_interval`, `top5`, `top1_by_k`, `predictions`,
        `settings`; accuracies are fractions in 0..1.

    Raises:
        ValueError: if `k` is larger than the number of training images, or
            `temperature` is not positive.

    Example:

    >>> train = kv.load_images("sample", 32, labels=True)
    >>> test = kv.load_images("sample", 32, split="test", labels=True)
    >>> pixels = kv.knn(None, train, test)
    >>> print(pixels)
    41.4 % (36.3 to 46.5)

    Reference:
        Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
        Discrimination", https://arxiv.org/abs/1805.01978, section 3.4.
    """
    bank, bank_labels = embed_labelled(
        encoder, train, name="train", batch_size=batch_size
    )
    queries, labels = embed_labelled(encoder, test, name="test", batch_size=batch_size)
    ks = check_k(k, len(bank))
    if not temperature > 0:
        raise ValueError(
            f"`temperature` must be positive. Received: temperature={temperature!r}"
        )
    indices, similarities = nearest(queries, bank, max(ks))
    classes, numbers = np.unique(bank_labels, return_inverse=True)
    votes = numbers[indices]  # (queries, max k)
    results = {}
    for each in ks:
        ballots = _count(votes[:, :each], similarities[:, :each], temperature, classes)
        results[each] = score(ballots, classes, labels)
    return KNN(
        **accuracy_fields(results[ks[0]]),
        top1_by_k={each: float(result[1].mean()) for each, result in results.items()},
        settings={
            "protocol": "knn",
            "k": ks[0],
            "temperature": temperature,
            "train_images": len(bank),
            "test_images": len(queries),
            "features": bank.shape[1],
            "classes": len(classes),
        },
    )


def _count(votes, similarities, temperature, classes):
    """Ballots `(queries, classes)`; -inf for a class without any vote."""
    weights = np.exp((similarities - similarities[:, :1]) / temperature)
    ballots = np.zeros((len(votes), len(classes)))
    for vote, weight in zip(votes.T, weights.T):  # nearest first, in a fixed order
        ballots[np.arange(len(votes)), vote] += weight
    return np.where(ballots > 0, ballots, -np.inf)
