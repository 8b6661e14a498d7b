"""The health of the representations as a callback, without any label."""

from keras_vicreg.callbacks.online_evaluation import OnlineEvaluation
from keras_vicreg.evaluation import quality
from keras_vicreg.evaluation.subsets import evenly

FIGURES = ("rankme", "std_mean", "std_min", "mean_cosine")


class Quality(OnlineEvaluation):
    """Adds `rankme`, `std_mean`, `std_min` and `mean_cosine` to the logs of an epoch.

    They are those of the encoder's representations, see `kv.quality`: a rank or a
    standard deviation that falls, or a cosine that rises to 1, is a run that
    collapses. Neither weights nor random numbers of the run change.

    Args:
        images: array `(n, height, width, channels)`, 0..255; no labels.
        count: int, at most how many of them to take, evenly spaced; bounds the cost
            and, where the representations have more features, the rank. Defaults to
            400.

    Example:

    ```python
    images = kv.load_images("sample", 64)
    history = model.fit(images, epochs=15, callbacks=[kv.callbacks.Quality(images)])
    history.history["rankme"]
    ```
    """

    def __init__(self, images, *, count: int = 400):
        super().__init__(*evenly((images,), count))

    def figures(self, features) -> dict:
        found = quality(features)
        return {name: getattr(found, name) for name in FIGURES}
