"""RandomSolarize."""

import keras

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import Augmentation, check_probability, per_image


@keras.saving.register_keras_serializable(package="keras_vicreg")
class RandomSolarize(Augmentation):
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
        super().__init__(seed=seed, **kwargs)
        check_probability(probability)
        self.probability = probability
        self.threshold = threshold

    def parameters(self, numbers, image_shape):
        return {"apply": numbers[:, 0] < self.probability}

    def transform(self, pixels, parameters):
        ops = ops_for(pixels)
        inverted = ops.logical_and(
            pixels >= self.threshold, per_image(parameters["apply"])
        )
        return ops.where(inverted, 255.0 - pixels, pixels)

    def get_config(self):
        return {
            **super().get_config(),
            "probability": self.probability,
            "threshold": self.threshold,
        }
