"""An encoder under a linear head, trained on labelled images as the authors do it."""

import keras
import numpy as np

from keras_vicreg.data.untuned_inputs import untuned_inputs
from keras_vicreg.epoch_lines import progress
from keras_vicreg.evaluation.crops import random_crops
from keras_vicreg.evaluation.sgd import TwoRateSGD, cosine_by_epoch


def build_classifier(encoder, classes: int, seed: int, frozen: bool = False):
    """A copy of an encoder under a linear layer, initialised as the authors' head.

    Args:
        encoder: functional Keras model, images -> representations.
        classes: int.
        seed: int, of the initial weights: normal with deviation 0.01; the bias is 0.
        frozen: whether the copy stays as it is, its batch normalization and dropout
            too. Defaults to `False`.

    Returns:
        A functional model: images -> logits `(batch, classes)`, float32.
    """
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    head = keras.layers.Dense(
        classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
        dtype="float32",
        name="head",
    )
    images = keras.Input(encoder.input_shape[1:], name="images")
    copy.trainable = False  # Keras takes no notice of a value that is there already
    copy.trainable = True  # all of it, whatever its owner had frozen
    body = Frozen(copy) if frozen else copy
    return keras.Model(images, head(body(images)), name="classifier")


class Frozen(keras.layers.Layer):
    """A model that does not learn, and works as in inference while others train.

    Keras alone keeps the batch normalization of a model with `trainable=False` in
    inference mode, but not its dropout, even under `model(x, training=False)`.

    Args:
        model: a built Keras model.
    """

    def __init__(self, model):
        super().__init__(name="frozen")
        self.model = model
        self.trainable = False
        self.built = True

    def call(self, inputs):
        return self.model(inputs, training=False)


def train_classifier(
    classifier,
    images: np.ndarray,
    numbers: np.ndarray,
    size: tuple[int, int],
    seed: int,
    verbose: int | str = 0,
    *,
    epochs: int,
    batch_size: int,
    head_rate: float,
    encoder_rate: float,
    weight_decay: float,
) -> None:
    """Trains what `build_classifier` made on random crops of labelled images.

    Args:
        classifier: the model.
        images: array `(n, height, width, channels)`, 0..255.
        numbers: array `(n,)`, class numbers from 0.
        size: `(height, width)` of the crops.
        seed: int, of order and crops.
        verbose: as in `keras.Model.fit`; 2 is one line an epoch.
        epochs, batch_size, head_rate, encoder_rate, weight_decay: see `kv.fine_tune`.
    """
    shown = keras.Input(images.shape[1:], dtype=images.dtype.name)
    learner = keras.Model(shown, classifier(random_crops(shown, size, seed)))
    optimizer = TwoRateSGD(
        head_rate,
        encoder_rate / head_rate,
        classifier.layers[1].trainable_variables,
        weight_decay,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(optimizer, loss)
    schedule = keras.callbacks.LearningRateScheduler(
        lambda epoch: cosine_by_epoch(head_rate, epoch, epochs)
    )
    verbose, lines = progress(verbose)
    batches = LabelledBatches(images, numbers, batch_size, seed)
    order = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: batches.start(epoch)
    )
    learner.fit(
        untuned_inputs(batches),
        epochs=epochs,
        shuffle=False,  # the batches are; Keras would change their order once more
        callbacks=[schedule, order, *lines],
        verbose=verbose,
    )


class LabelledBatches(keras.utils.PyDataset):
    """Images and class numbers in batches, the last one smaller where need be.

    The order of an epoch is a function of the seed and the epoch's number alone.

    Args:
        images: array `(n, height, width, channels)`.
        numbers: array `(n,)`.
        batch_size: int.
        seed: int.
    """

    def __init__(self, images, numbers, batch_size: int, seed: int):
        super().__init__()
        self.images, self.numbers = images, numbers
        self.batch_size, self.seed = batch_size, seed
        self.start(0)

    def __len__(self) -> int:
        return -(-len(self.numbers) // self.batch_size)

    def __getitem__(self, index: int):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.images[rows], self.numbers[rows]

    def start(self, epoch: int) -> None:
        """Takes the order of an epoch.

        How often `fit` calls a data set's own `on_epoch_begin` and `on_epoch_end`
        before the first epoch differs between backends.
        """
        rng = np.random.default_rng((self.seed, epoch))
        self.order = rng.permutation(len(self.numbers))
