"""The linear probe as a callback, to watch a run learn."""

from keras_vicreg.callbacks.online_evaluation import LabelledEvaluation
from keras_vicreg.evaluation import linear_probe


class OnlineLinearProbe(LabelledEvaluation):
    """Adds `linear_top1` to the logs of every epoch.

    A logistic regression on representations of labelled images of its own: the data
    that are pretrained on need no labels, and those that they have are not touched.
    Use a validation split to test it, never the test images: what is watched is
    chosen by. Neither weights nor random numbers of the run change.

    Args:
        train: pair `(images, labels)` of arrays, to fit the classifier to.
        validation: the same, to test it on.
        images: int, at most how many of each to take, evenly spaced; bounds the cost.
            Defaults to 200.
        regularization: float, see `kv.linear_probe`. Defaults to 0.01.

    Example:

    ```python
    train = kv.load_images("sample", 64, labels=True)
    validation = kv.load_images("sample", 64, split="validation", labels=True)
    watch = kv.callbacks.OnlineLinearProbe(train, validation)
    history = model.fit(train[0], epochs=15, callbacks=[watch])
    history.history["linear_top1"]
    ```
    """

    def __init__(
        self, train, validation, *, images: int = 200, regularization: float = 0.01
    ):
        super().__init__(train, validation, images)
        self.regularization = regularization

    def accuracies(self, train, validation) -> dict:
        found = linear_probe(
            None, train, validation, regularization=self.regularization
        )
        return {"linear_top1": found.top1}
