"""Fine-tuning with few labels, or all of them."""

import dataclasses
import math

import keras

from keras_vicreg.evaluation.accuracy import Accuracy, accuracy_fields, score
from keras_vicreg.evaluation.classifier import build_classifier, train_classifier
from keras_vicreg.evaluation.crops import central_crops, crop_size
from keras_vicreg.evaluation.features import (
    as_arrays,
    channels_of,
    find_encoder,
    number_classes,
    predict,
)
from keras_vicreg.evaluation.sgd import MOMENTUM
from keras_vicreg.evaluation.subsets import stratified_subset
from keras_vicreg.finite import check_finite

BATCH, SMALLEST_BATCH = 256, 16
EPOCHS, STEPS = 20, 500
# The authors' rates of encoder and head, for 1 % of the labels and for more.
RATES = {"few": (0.03, 0.08), "more": (0.01, 0.1)}


@dataclasses.dataclass(frozen=True)
class FineTuned(Accuracy):
    """The result of `kv.fine_tune`; see `Accuracy`. Over seeds, `top1` is the mean.

    Attributes:
        top1_by_seed: top-1 accuracy of each seed.
        model: the classifier of the first seed: images in 0..255 -> probabilities
            `(batch, classes)`, a functional `keras.Model`.
        classes: label of each column of its output.
    """

    top1_by_seed: dict[int, float]
    model: keras.Model = dataclasses.field(repr=False, compare=False)
    classes: tuple[int, ...]


def fine_tune(
    encoder,
    train,
    test,
    label_fraction: float = 1.0,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    encoder_rate: float | None = None,
    head_rate: float | None = None,
    seeds: tuple[int, ...] = (0,),
    verbose: int | str = 0,
) -> FineTuned:
    """Trains a copy of an encoder with a linear head on labelled images.

    As the authors of VICReg do it: random resized crops and mirror images, SGD with
    momentum 0.9 and no weight decay, one learning rate for the encoder and one for
    the head, both on a cosine by epoch. Unlike theirs, the accuracy is that of the
    last epoch, not that of the epoch that is best on the test images. The encoder
    itself stays as it is.

    With a random encoder of the same kind it gives the baseline: the same network
    trained from scratch on the same images.

    Args:
        encoder: a functional Keras model, or a joint-embedding model, whose `encoder`
            is taken.
        train: pair `(images, labels)` of arrays, or a labelled `tf.data.Dataset`.
        test: the same.
        label_fraction: float, the share of every class that is used. Defaults to 1.
            The choice depends on labels, fraction and seed alone.
        epochs: int. Defaults to `None`: the authors' 20, or as many as make 500 steps.
        batch_size: int. Defaults to `None`: the authors' 256, or a tenth of the
            images that are used, at least 16.
        encoder_rate: float, first learning rate of the encoder. Defaults to `None`:
            0.03 for 1 % of the labels or less, 0.01 for more, as the authors'.
        head_rate: float, of the head. Defaults to `None`: 0.08 and 0.1.
        seeds: ints; each chooses images, weights of the head, crops and order anew.
            Defaults to `(0,)`.
        verbose: as in `keras.Model.fit`; 2 is one line an epoch. Defaults to 0.

    Returns:
        A `FineTuned` with `top1`, `top1_interval`, `top5`, `top1_by_seed`,
        `predictions`, `model`, `settings`; accuracies are fractions in 0..1.

    Raises:
        ValueError: if an argument is out of its range, or there is a single class.

    Example:

    >>> train = kv.load_images("sample", 64, labels=True)
    >>> test = kv.load_images("sample", 64, split="test", labels=True)
    >>> kv.fine_tune(encoder, train, test, 0.1, seeds=(0, 1, 2)).top1

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, section 5.1 and evaluate.py of the
        authors' code.
    """
    encoder = find_encoder(encoder)
    channels = channels_of(encoder)
    images, labels = as_arrays(train, name="train", channels=channels)
    tested, truth = as_arrays(test, name="test", channels=channels)
    classes, numbers = number_classes(labels)
    subsets = _subsets(numbers, label_fraction, seeds)
    count = len(subsets[seeds[0]])
    rates = encoder_rate, head_rate
    settings = _settings(label_fraction, count, epochs, batch_size, *rates)
    size = crop_size(encoder, images.shape[1:])
    outcomes, models = {}, {}
    for seed, rows in subsets.items():
        models[seed] = build_classifier(encoder, len(classes), seed)
        shown = images[rows], numbers[rows]
        train_classifier(models[seed], *shown, size, seed, verbose, **settings)
        scores = predict(models[seed], central_crops(tested, size), BATCH)
        outcomes[seed] = score(scores, classes, truth)
    return FineTuned(
        **accuracy_fields(*outcomes.values()),
        top1_by_seed={seed: float(found[1].mean()) for seed, found in outcomes.items()},
        model=_with_softmax(models[seeds[0]]),
        classes=tuple(classes.tolist()),
        settings={
            "protocol": "fine-tuning",
            "label_fraction": label_fraction,
            **settings,
            "momentum": MOMENTUM,
            "seeds": list(subsets),
            "crop": list(size),
            "train_images": count,
            "test_images": len(truth),
        },
    )


def _subsets(numbers, fraction, seeds):
    """Rows of the training images by seed."""
    if not seeds:
        raise ValueError("`seeds` must hold at least one. Received: none")
    return {seed: stratified_subset(numbers, fraction, seed) for seed in seeds}


def _with_softmax(classifier):
    """Logits -> probabilities."""
    probabilities = keras.layers.Softmax(dtype="float32")(classifier.output)
    return keras.Model(classifier.input, probabilities, name=classifier.name)


def _settings(fraction, count, epochs, batch_size, encoder_rate, head_rate):
    """All that `train_classifier` is told, defaults filled in."""
    if batch_size is None:
        batch_size = min(BATCH, max(SMALLEST_BATCH, count // 10))
    if epochs is None:
        steps = math.ceil(count / batch_size)
        epochs = max(EPOCHS, math.ceil(STEPS / steps))
    rates = RATES["few" if fraction <= 0.01 else "more"]
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "encoder_rate": rates[0] if encoder_rate is None else encoder_rate,
        "head_rate": rates[1] if head_rate is None else head_rate,
        "weight_decay": 0.0,
    }
    for name in ("epochs", "batch_size"):
        value = settings[name]
        if type(value) is not int or value < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={value!r}"
            )
    check_finite("encoder_rate", settings["encoder_rate"])
    check_finite("head_rate", settings["head_rate"], positive=True)
    return settings
