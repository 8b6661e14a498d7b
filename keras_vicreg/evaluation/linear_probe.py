"""A linear classifier on frozen representations."""

import dataclasses

import numpy as np

from keras_vicreg.evaluation.accuracy import Accuracy, accuracy_fields, score
from keras_vicreg.evaluation.classifier import build_classifier, train_classifier
from keras_vicreg.evaluation.crops import central_crops, crop_size
from keras_vicreg.evaluation.features import (
    as_arrays,
    channels_of,
    embed_labelled,
    find_encoder,
    number_classes,
    predict,
)
from keras_vicreg.evaluation.sgd import MOMENTUM
from keras_vicreg.evaluation.softmax_regression import (
    fit_softmax,
    logits,
    principal_axes,
)
from keras_vicreg.evaluation.subsets import stratified_subset
from keras_vicreg.finite import check_finite

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
    epochs: int = 100,
    learning_rate: float = 0.02,
    weight_decay: float = 1e-6,
    batch_size: int = 256,
    seed: int = 0,
) -> LinearProbe:
    """Trains a linear classifier on frozen representations, and tests it once.

    `"lbfgs"`: representations are computed once, without augmentation, and
    standardised; a multinomial logistic regression is solved to convergence, with the
    L2 regularization that is best on a stratified fifth held out from the training
    images, and then once more on all of them.

    `"sgd"`: as the authors of VICReg do it. Random resized crops and mirror images
    anew in every epoch, SGD with momentum 0.9, learning rate on a cosine by epoch,
    tested on central crops. Unlike theirs, the accuracy is that of the last epoch,
    not that of the epoch that is best on the test images.

    Args:
        encoder: a Keras model; for `"lbfgs"` also `None`, the pixels; see `kv.embed`.
        train: pair `(images, labels)` of arrays, or a labelled `tf.data.Dataset`.
        test: the same.
        protocol: `"lbfgs"` or `"sgd"`. Defaults to `"lbfgs"`.
        regularization: float, for `"lbfgs"`; with it nothing is held out. It weighs
            ||w||^2 / 2 beside the mean cross-entropy. Defaults to `None`: chosen among
            10, 1, ... 1e-6.
        epochs: int, for `"sgd"`. Defaults to 100.
        learning_rate: float, for `"sgd"`. Defaults to 0.02.
        weight_decay: float, for `"sgd"`. Defaults to 1e-6.
        batch_size: int, for `"sgd"` that of a step, for `"lbfgs"` the images to encode
            at once. Defaults to 256.
        seed: int, of the held-out images, or of weights, order and crops. Defaults
            to 0.

    Returns:
        A `LinearProbe` with `top1`, `top1_interval`, `top5`, `predictions`,
        `settings`; accuracies are fractions in 0..1.

    Raises:
        ValueError: for an unknown protocol, a rate or decay that is none, or training
            images of a single class.

    Example:

    >>> train = kv.load_images("sample", 32, labels=True)
    >>> test = kv.load_images("sample", 32, split="test", labels=True)
    >>> kv.linear_probe(encoder, train, test).top1

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, section 5.1 and evaluate.py of the
        authors' code, for `"sgd"`.
    """
    if protocol == "lbfgs":
        found = _lbfgs(encoder, train, test, regularization, batch_size, seed)
    elif protocol == "sgd":
        check_finite("learning_rate", learning_rate, positive=True)
        check_finite("weight_decay", weight_decay)
        options = {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "seed": seed,
        }
        found = _sgd(encoder, train, test, options)
    else:
        raise ValueError(
            f"`protocol` must be 'lbfgs' or 'sgd'. Received: protocol={protocol!r}"
        )
    scores, classes, truth, settings = found
    return LinearProbe(
        **accuracy_fields(score(scores, classes, truth)),
        settings={
            "protocol": f"linear probe, {protocol}",
            **settings,
            "test_images": len(truth),
            "classes": len(classes),
        },
    )


def _lbfgs(encoder, train, test, regularization, batch_size, seed):
    features, labels = embed_labelled(
        encoder, train, name="train", batch_size=batch_size
    )
    tested, truth = embed_labelled(encoder, test, name="test", batch_size=batch_size)
    classes, numbers = number_classes(labels)
    settings = {"train_images": len(labels), "features": features.shape[1]}
    features, tested = principal_axes(features, tested)
    weights = None
    if regularization is None:
        regularization, weights = _choose(features, numbers, len(classes), seed)
        settings |= {"held_out": HELD_OUT, "seed": seed}
    weights = fit_softmax(features, numbers, len(classes), regularization, weights)
    settings["regularization"] = regularization
    return logits(tested, weights), classes, truth, settings


def _choose(features, numbers, classes, seed):
    """The regularization that is best on held-out images, and weights to start from.

    From the strongest on; the stronger of equals; a search that has failed to improve
    twice ends, as from there on the classifier only overfits.
    """
    held_out = np.zeros(len(numbers), bool)
    held_out[stratified_subset(numbers, HELD_OUT, seed)] = True
    # The only image of a class is needed to learn it.
    held_out[np.bincount(numbers)[numbers] == 1] = False
    best, failures, weights = (-1.0, None, None), 0, None
    for regularization in REGULARIZATIONS:
        weights = fit_softmax(
            features[~held_out],
            numbers[~held_out],
            classes,
            regularization,
            start=weights,
            tolerance=1e-4,
        )
        predicted = logits(features[held_out], weights).argmax(axis=1)
        right = float((predicted == numbers[held_out]).sum())
        if right > best[0]:
            best, failures = (right, regularization, weights), 0
        else:
            failures += 1
        if failures == 2:
            break
    return best[1:]


def _sgd(encoder, train, test, settings):
    encoder = find_encoder(encoder)
    channels = channels_of(encoder)
    images, labels = as_arrays(train, name="train", channels=channels)
    tested, truth = as_arrays(test, name="test", channels=channels)
    classes, numbers = number_classes(labels)
    size = crop_size(encoder, images.shape[1:])
    seed, batch_size = settings["seed"], settings["batch_size"]
    model = build_classifier(encoder, len(classes), seed, frozen=True)
    train_classifier(
        model,
        images,
        numbers,
        size,
        seed,
        epochs=settings["epochs"],
        batch_size=batch_size,
        head_rate=settings["learning_rate"],
        encoder_rate=0.0,
        weight_decay=settings["weight_decay"],
    )
    scores = predict(model, central_crops(tested, size), batch_size)
    settings = {
        **settings,
        "momentum": MOMENTUM,
        "crop": list(size),
        "train_images": len(labels),
        "features": encoder.output_shape[-1],
    }
    return scores, classes, truth, settings
