"""RandomHorizontalFlip."""

import keras

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import Augmentation, check_probability, per_image


@keras.saving.register_keras_serializable(package="keras_vicreg")
class RandomHorizontalFlip(Augmentation):
    """Mirrors images left to right, each with a probability of its own draw.

    Args:
        probability: float, the chance that an image is mirrored. Defaults to `0.5`.
        seed: optional int.
        **kwargs: see `keras.layers.Layer`.

    Parameters of `draw` and `apply`: `apply`, bool `(batch,)`.

    Example:

    >>> images = np.random.randint(0, 256, (8, 32, 32, 3), "uint8")
    >>> kv.augment.RandomHorizontalFlip()(images).shape
    (8, 32, 32, 3)
    """

    def __init__(self, probability: float = 0.5, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        check_probability(probability)
        self.probability = probability

    def parameters(self, numbers, image_shape):
        return {"apply": numbers[:, 0] < self.probability}

    def transform(self, pixels, parameters):
        ops = ops_for(pixels)
        mirrored = ops.flip(pixels, axis=3)
        return ops.where(per_image(parameters["apply"]), mirrored, pixels)

    def get_config(self):
        return {**super().get_config(), "probability": self.probability}
