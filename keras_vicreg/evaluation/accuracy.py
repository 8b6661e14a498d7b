"""What every protocol with labels returns: an accuracy, and how sure it is."""

import dataclasses

import numpy as np

from keras_vicreg.evaluation.result import Result

RESAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class Accuracy(Result):
    """The result of an evaluation with labels; accuracies are fractions in 0..1.

    Attributes:
        top1: share of the test images whose class is predicted.
        top1_interval: its 95 % confidence interval: percentiles of the bootstrap over
            test images, 10,000 resamples.
        top5: share whose class is among the five that are most likely.
        predictions: predicted label of each test image, array `(n,)`; of the first
            seed where there are several.
        correct: array `(n,)`, 1 where the prediction is right, 0 where it is wrong; the
            mean over several seeds. `a.correct - b.correct` compares two results on
            the same images, and `bootstrap_interval` of it says how sure that is.
        settings: everything that the protocol was run with, sizes included.
    """

    top1: float
    top1_interval: tuple[float, float]
    top5: float
    predictions: np.ndarray = dataclasses.field(repr=False, compare=False)
    correct: np.ndarray = dataclasses.field(repr=False, compare=False)
    settings: dict

    def __str__(self) -> str:
        low, high = self.top1_interval
        return f"{100 * self.top1:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def bootstrap_interval(correct, confidence: float = 0.95) -> tuple[float, float]:
    """Bootstraps the mean of one number for each test image.

    A resample of images is a resample of the few values they have, so all of them are
    drawn at once from a multinomial distribution, whatever the number of images.

    Args:
        correct: array `(n,)`: 1 where the prediction is right, 0 where it is wrong, a
            mean of those over several seeds, or the difference of two such arrays.
        confidence: float in 0..1. Defaults to 0.95.

    Returns:
        The lower and the upper percentile of the resampled means.
    """
    values, counts = np.unique(np.asarray(correct, "float64"), return_counts=True)
    total = counts.sum()
    draws = np.random.default_rng(0).multinomial(total, counts / total, RESAMPLES)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws @ values / total, [tail, 1 - tail])
    return float(low), float(high)


def score(scores: np.ndarray, classes: np.ndarray, labels: np.ndarray):
    """Predictions from scores, and where they are right.

    Equal scores are decided for the lower class.

    Args:
        scores: array `(n, classes)`, larger is likelier; -inf for impossible.
        classes: array `(classes,)`, the label of each column, ascending.
        labels: array `(n,)`, true labels; one that is no column counts as an error.

    Returns:
        `(predictions, right, right_in_five)`, each of shape `(n,)`.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    likeliest = classes[order]
    possible = np.isfinite(np.take_along_axis(scores, order, axis=1))
    hits = (likeliest == labels[:, None]) & possible
    return likeliest[:, 0], hits[:, 0], hits.any(axis=1)


def accuracy_fields(*outcomes) -> dict:
    """The fields of an `Accuracy` but `settings`.

    Args:
        *outcomes: what `score` gave, for one seed or for several.
    """
    right = np.mean([outcome[1] for outcome in outcomes], axis=0)
    return {
        "top1": float(right.mean()),
        "top1_interval": bootstrap_interval(right),
        "top5": float(np.mean([outcome[2] for outcome in outcomes])),
        "predictions": outcomes[0][0],
        "correct": right,
    }
