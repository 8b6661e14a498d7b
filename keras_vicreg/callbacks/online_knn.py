"""The nearest-neighbour classifier as a callback, to watch a run learn."""

from keras_vicreg.callbacks.online_evaluation import LabelledEvaluation
from keras_vicreg.evaluation import knn


class OnlineKNN(LabelledEvaluation):
    """Adds `knn_top1` to the logs of every epoch.

    Use labelled data of its own or a held-out part of train, never the test images:
    what is watched is chosen by. Neither weights nor random numbers of the run change.

    Args:
        train: pair `(images, labels)` of arrays.
        validation: the same.
        images: int, at most how many of each to take, evenly spaced; bounds the cost.
            Defaults to 200.
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

    def __init__(self, train, validation, *, images: int = 200, k: int = 20):
        super().__init__(train, validation, images)
        self.k = min(k, len(self.train_labels))

    def accuracies(self, train, validation) -> dict:
        return {"knn_top1": knn(None, train, validation, k=self.k).top1}
