"""RandomHorizontalFlip."""

import keras

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import Occasional


@keras.saving.register_keras_serializable(package="keras_vicreg")
class RandomHorizontalFlip(Occasional):
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
        super().__init__(probability, seed=seed, **kwargs)

    def changed(self, pixels):
        return ops_for(pixels).flip(pixels, axis=3)
