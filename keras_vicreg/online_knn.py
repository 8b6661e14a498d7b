"""The nearest-neighbour classifier as a callback, to watch a run learn."""

import keras
import numpy as np

from keras_vicreg.evaluation import knn


class OnlineKNN(keras.callbacks.Callback):
    """Adds `knn_top1` to the logs of every epoch.

    Use labelled data of its own or a held-out part of train, never the test images:
    what is watched is chosen by. It needs one pass of the encoder over both.

    Args:
        train: pair `(images, labels)` of arrays.
        validation: the same.
        images: int, at most how many of train to compare with, evenly spaced; bounds
            the cost. Defaults to 2,000.
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

    def __init__(self, train, validation, *, images: int = 2000, k: int = 20):
        super().__init__()
        samples = len(train[1])
        rows = np.linspace(0, samples - 1, min(images, samples)).astype(int)
        self.train = tuple(np.asarray(part)[rows] for part in train)
        self.validation = validation
        self.k = min(k, len(rows))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            found = knn(self.model.encoder, self.train, self.validation, k=self.k)
            logs["knn_top1"] = found.top1
