"""What all callbacks share that look at an encoder while it trains."""

import keras
import numpy as np

from keras_vicreg.devices.local_copy import LocalCopy
from keras_vicreg.evaluation import embed


class OnlineEvaluation(keras.callbacks.Callback):
    """Adds figures of the encoder's representations to the logs of every epoch.

    Neither weights nor random numbers of the run change. Of several processes each
    computes them: their logs agree, and none waits.

    Args:
        *images: arrays `(n, height, width, channels)`, 0..255, of one size.
    """

    def __init__(self, *images):
        super().__init__()
        # In one pass: to start another takes as long as 200 small images.
        self.images = np.concatenate(images)
        self.ends = np.cumsum([len(each) for each in images])[:-1]

    def set_model(self, model):
        super().set_model(model)
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
