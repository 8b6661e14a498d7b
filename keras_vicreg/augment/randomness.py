"""Where the augmentations' random numbers come from, on every backend."""

import sys

import keras

from keras_vicreg.augment.arrays import is_foreign
from keras_vicreg.devices import replicas


class RandomLayer(keras.layers.Layer):
    """A layer that draws uniform numbers, other ones at every call and replica.

    The state is a seed variable of the layer: saved with the model, and carried
    through a compiled step on every backend. Pixels are float32 under any dtype
    policy.

    Args:
        seed: optional int. Equal seeds give equal numbers. Defaults to `None`, a
            random seed.
        **kwargs: `name` and the like, see `keras.layers.Layer`.
    """

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(
                f"`seed` must be an integer or None. Received: seed={seed!r}"
            )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.pipeline_generator = None
        self.built = True

    def __call__(self, images, **kwargs):
        # Keras would turn the tensors of a `tf.data` graph into its own backend's.
        if is_foreign(images):
            return self.call(images, **kwargs)
        return super().__call__(images, **kwargs)

    def uniform(self, rows, columns: int, like=None):
        """Uniform numbers in 0..1, float32 `(rows, columns)`.

        Args:
            rows: int or scalar tensor.
            columns: int.
            like: optional tensor that shows where the numbers are needed: within a
                `tf.data` pipeline they are TensorFlow's under every backend.
        """
        if like is not None and is_foreign(like):
            return self._pipeline_generator().uniform((rows, columns))
        # Replicas share one seed: each draws the numbers of the global batch and
        # takes its own rows, so that none repeats another's.
        count = replicas.num_replicas()
        numbers = keras.random.uniform(
            (rows * count, columns), seed=self.seed_generator, dtype="float32"
        )
        if count == 1:
            return numbers
        numbers = keras.ops.reshape(numbers, (count, rows, columns))
        return keras.ops.take(numbers, replicas.replica_id(), axis=0)

    def _pipeline_generator(self):
        if self.pipeline_generator is None:
            tf = sys.modules["tensorflow"]
            with tf.init_scope():
                self.pipeline_generator = (
                    tf.random.Generator.from_non_deterministic_state()
                    if self.seed is None
                    else tf.random.Generator.from_seed(self.seed)
                )
        return self.pipeline_generator

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
