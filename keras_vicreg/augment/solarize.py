"""RandomSolarize."""

import keras

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import Occasional


@keras.saving.register_keras_serializable(package="keras_vicreg")
class RandomSolarize(Occasional):
    """Inverts the bright pixels, as `PIL.ImageOps.solarize` does.

    Args:
        probability: float, the chance that an image is solarized. Defaults to `0.2`.
        threshold: float, values from here to 255 are inverted. Defaults to `128`.
        seed: optional int.
        **kwargs: see `keras.layers.Layer`.

    Parameters of `draw` and `apply`: `apply`, bool `(batch,)`.

    Example:

    >>> images = np.random.randint(0, 256, (8, 32, 32, 3), "uint8")
    >>> kv.augment.RandomSolarize()(images).shape
    (8, 32, 32, 3)
    """

    def __init__(
        self, probability: float = 0.2, threshold: float = 128, seed=None, **kwargs
    ):
        super().__init__(probability, seed=seed, **kwargs)
        self.threshold = threshold

    def changed(self, pixels):
        return ops_for(pixels).where(pixels >= self.threshold, 255.0 - pixels, pixels)

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}
