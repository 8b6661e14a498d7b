"""A linear classifier on frozen representations."""

import dataclasses

import numpy as np

from keras_vicreg.evaluation.accuracy import Accuracy, bootstrap_interval, score
from keras_vicreg.evaluation.features import embed_labelled
from keras_vicreg.evaluation.softmax_regression import fit_softmax, logits
from keras_vicreg.evaluation.subsets import stratified_subset

REGULARIZATIONS = tuple(10.0**power for power in range(1, -7, -1))
HELD_OUT = 0.2


@dataclasses.dataclass(frozen=True)
class LinearProbe(Accuracy):
    """The result of `kv.linear_probe`; see `Accuracy`."""


def linear_probe(
    encoder,
    train,
    test,
    protocol: str = "lbfgs",
    *,
    regularization: float | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> LinearProbe:
    """Trains a linear classifier on frozen representations, and tests it once.

    Two protocols. `"lbfgs"`: representations are computed once, without augmentation,
    and standardised; a multinomial logistic regression is solved to convergence, with
    the L2 regularization that is best on a stratified fifth held out from the training
    images, and then on all of them. `"sgd"`: that of the VICReg authors, see `Args` of
    `kv.evaluation.linear_probe_sgd`. Neither looks at the test images before the end.

    Args:
        encoder: a Keras model, or `None` for the pixels; see `kv.embed`.
        train: pair `(images, labels)` of arrays, or a labelled `tf.data.Dataset`.
        test: the same.
        protocol: `"lbfgs"` or `"sgd"`. Defaults to `"lbfgs"`.
        regularization: float; with it nothing is held out. It weighs ||w||^2 / 2
            beside the mean cross-entropy. Defaults to `None`: chosen among 10, 1, ...
            1e-6.
        seed: int, of the held-out images. Defaults to 0.
        batch_size: int, images to encode at once. Defaults to 256.

    Returns:
        A `LinearProbe` with `top1`, `top1_interval`, `top5`, `predictions`,
        `settings`; accuracies are fractions in 0..1.

    Raises:
        ValueError: for an unknown protocol, or training images of a single class.

    Example:

    >>> train = kv.load_images("sample", 32, labels=True)
    >>> test = kv.load_images("sample", 32, split="test", labels=True)
    >>> kv.linear_probe(encoder, train, test).top1

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, section 5.1, for `"sgd"`.
    """
    if protocol != "lbfgs":
        raise ValueError(
            f"`protocol` must be 'lbfgs' or 'sgd'. Received: protocol={protocol!r}"
        )
    features, labels = embed_labelled(
        encoder, train, name="train", batch_size=batch_size
    )
    tested, truth = embed_labelled(encoder, test, name="test", batch_size=batch_size)
    size = features.shape[1]
    features, tested = _standardised(features, tested)
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            "A linear probe must have at least two classes. "
            f"Received: `train` with the labels {classes.tolist()}"
        )
    chosen, weights = regularization, None
    if chosen is None:
        chosen, weights = _choose(features, numbers, len(classes), seed)
    weights = fit_softmax(features, numbers, len(classes), chosen, weights)
    scores = logits(tested, weights)
    predictions, right, right_in_five = score(scores, classes, truth)
    return LinearProbe(
        top1=float(right.mean()),
        top1_interval=bootstrap_interval(right),
        top5=float(right_in_five.mean()),
        predictions=predictions,
        settings={
            "protocol": "linear, lbfgs",
            "regularization": chosen,
            "held_out": HELD_OUT if regularization is None else 0.0,
            "seed": seed,
            "train_images": len(labels),
            "test_images": len(truth),
            "features": size,
            "classes": len(classes),
        },
    )


def _standardised(train, test):
    """Both by the mean and the deviation of `train`, in at most as many dimensions as
    it has images: the classifier has no weights outside their span."""
    mean = train.mean(axis=0, dtype="float64").astype("float32")
    train, test = train - mean, test - mean
    deviation = train.std(axis=0)
    deviation[deviation < 1e-6 * max(deviation.max(), 1e-30)] = np.inf  # constant
    train, test = train / deviation, test / deviation
    if train.shape[0] >= train.shape[1]:
        return train, test
    values, vectors = np.linalg.eigh((train @ train.T).astype("float64"))
    kept = values > 1e-6 * values[-1]
    basis = train.T @ (vectors[:, kept] / np.sqrt(values[kept])).astype("float32")
    return train @ basis, test @ basis


def _choose(features, numbers, classes, seed):
    """The regularization that is best on held-out images, and weights to start from.

    From the strongest on; the stronger of equals; a search that has failed to improve
    twice ends, as from there on the classifier only overfits.
    """
    held_out = np.zeros(len(numbers), bool)
    held_out[stratified_subset(numbers, HELD_OUT, seed)] = True
    single = np.bincount(numbers)[numbers] == 1
    held_out[single] = False  # a class's only image is needed to learn it
    best, failures, weights = (-1.0, None, None), 0, None
    for regularization in REGULARIZATIONS:
        weights = fit_softmax(
            features[~held_out], numbers[~held_out], classes, regularization, weights
        )
        predicted = logits(features[held_out], weights).argmax(axis=1)
        accuracy = float((predicted == numbers[held_out]).mean())
        if accuracy > best[0]:
            best, failures = (accuracy, regularization, weights), 0
        else:
            failures += 1
        if failures == 2:
            break
    return best[1:]
