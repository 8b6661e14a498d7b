"""The nearest-neighbour classifier as a callback, to watch a run learn."""

import keras

from keras_vicreg.evaluation import knn
from keras_vicreg.evaluation.subsets import evenly
from keras_vicreg.local_copy import LocalCopy


class OnlineKNN(keras.callbacks.Callback):
    """Adds `knn_top1` to the logs of every epoch.

    Use labelled data of its own or a held-out part of train, never the test images:
    what is watched is chosen by. Neither weights nor random numbers of the run change.

    Args:
        train: pair `(images, labels)` of arrays.
        validation: the same.
        images: int, at most how many of each to take, evenly spaced; bounds the cost.
            Defaults to 400.
        k: int, number of neighbours. Defaults to 20.

    Example:

    ```python
    train = kv.load_images("sample", 64, labels=True)
    validation = kv.load_images("sample", 64, split="validation", labels=True)
    watch = kv.callbacks.OnlineKNN(train, validation)
    history = model.fit(train[0], epochs=15, callbacks=[watch])
    history.history["knn_top1"]
    ```
    """

    def __init__(self, train, validation, *, images: int = 400, k: int = 20):
        super().__init__()
        self.train = evenly(train, images)
        self.validation = evenly(validation, images)
        self.k = min(k, len(self.train[1]))

    def set_model(self, model):
        super().set_model(model)
        self.encoder = LocalCopy(model.encoder)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            # Every process computes it: their logs agree, and none waits.
            logs["knn_top1"] = self.encoder.use(self._top1)

    def _top1(self, encoder) -> float:
        return knn(encoder, self.train, self.validation, k=self.k).top1
