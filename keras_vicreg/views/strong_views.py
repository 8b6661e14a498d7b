"""Images -> strongly augmented ones, as SCAN trains with."""

import keras

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.flip import RandomHorizontalFlip
from keras_vicreg.augment.layer import to_images, to_pixels
from keras_vicreg.augment.operations import RandomOperations
from keras_vicreg.augment.randomness import RandomLayer
from keras_vicreg.views.compiled import Compiled


@keras.saving.register_keras_serializable(package="keras_vicreg")
class StrongViews(RandomLayer):
    """Makes two strongly augmented views of every image, or a plain and a strong one.

    An image is mirrored with probability 0.5 and undergoes
    `kv.augment.RandomOperations`: four operations of its own, and a cut. Its size
    stays.

    Args:
        plain: whether the first view is the image as it is. Defaults to `False`.
        seed: optional int. Equal seeds give equal views. Defaults to `None`, a random
            seed.
        **kwargs: see `keras.layers.Layer`.

    Returns:
        Two float32 tensors like the images, `(batch, height, width, channels)`,
        0..255.

    Example:

    >>> images = np.random.randint(0, 256, (8, 32, 32, 3), "uint8")
    >>> plain, strong = kv.StrongViews(plain=True, seed=0)(images)
    >>> strong.shape
    (8, 32, 32, 3)

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, section 3.1.
    """

    def __init__(self, plain: bool = False, seed: int | None = None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.plain = plain
        self.steps = (RandomHorizontalFlip(), RandomOperations())
        self.compiled = Compiled(self._changed)

    def call(self, images):
        ops = ops_for(images)
        if len(images.shape) == 3:
            return tuple(view[0] for view in self.call(ops.expand_dims(images, 0)))
        views = [self._strong(images) for _ in range(1 if self.plain else 2)]
        if self.plain:
            views.insert(0, ops.cast(images, "float32"))
        return tuple(views)

    def _strong(self, images):
        batch_size = ops_for(images).shape(images)[0]
        count = sum(step.numbers for step in self.steps)
        return self.compiled(images, self.uniform(batch_size, count, like=images))

    def _changed(self, images, numbers):
        """The strong view that uniform numbers, a row an image, stand for."""
        pixels, shape = to_pixels(images), ops_for(images).shape(images)[1:3]
        for step in self.steps:
            own, numbers = numbers[:, : step.numbers], numbers[:, step.numbers :]
            pixels = step.transform(pixels, step.parameters(own, shape))
        return to_images(pixels)

    def compute_output_shape(self, input_shape):
        return (tuple(input_shape),) * 2

    def get_config(self):
        return {**super().get_config(), "plain": self.plain}
