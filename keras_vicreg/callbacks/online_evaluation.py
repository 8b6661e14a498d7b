"""What all callbacks share that look at an encoder while it trains."""

import keras
import numpy as np

from keras_vicreg.data.image_checks import check_images, check_shape
from keras_vicreg.devices.local_copy import LocalCopy
from keras_vicreg.evaluation.features import channels_of, embed
from keras_vicreg.evaluation.subsets import evenly


class OnlineEvaluation(keras.callbacks.Callback):
    """Adds figures of the encoder's representations to the logs of every epoch.

    Neither weights nor random numbers of the run change. Of several processes each
    computes them: their logs agree, and none waits.

    Args:
        *images: arrays `(n, height, width, channels)`, 0..255, of one size.

    Raises:
        ValueError: if they are not, or not of the channels that the encoder takes,
            before the run begins.
    """

    def __init__(self, *images):
        super().__init__()
        for each in images:
            check_images(each)
        # In one pass: to start another takes as long as 200 small images.
        self.images = np.concatenate(images)
        self.ends = np.cumsum([len(each) for each in images])[:-1]

    def set_model(self, model):
        super().set_model(model)
        check_shape(self.images.shape, channels_of(model.encoder))
        self.encoder = LocalCopy(model.encoder)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(self.encoder.use(self._look))

    def _look(self, encoder) -> dict:
        features = embed(encoder, self.images)
        return self.figures(*np.split(features, self.ends))

    def figures(self, *features) -> dict:
        """Names and values to log.

        Args:
            *features: arrays `(n, features)`, for each of those of the images.
        """
        raise NotImplementedError


class LabelledEvaluation(OnlineEvaluation):
    """Adds figures that need labelled images, to learn from and to test on.

    Args:
        train: pair `(images, labels)` of arrays.
        validation: the same.
        images: int, at most how many of each to take, evenly spaced.
    """

    def __init__(self, train, validation, images: int):
        train, self.train_labels = evenly(train, images)
        validation, self.validation_labels = evenly(validation, images)
        super().__init__(train, validation)

    def figures(self, train, validation) -> dict:
        return self.accuracies(
            (train, self.train_labels), (validation, self.validation_labels)
        )

    def accuracies(self, train, validation) -> dict:
        """Names and values to log.

        Args:
            train: pair of arrays, representations `(n, features)` and labels `(n,)`.
            validation: the same.
        """
        raise NotImplementedError
