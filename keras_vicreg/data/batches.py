"""Complete batches for `fit`, in the same order on every backend."""

import contextlib
import random

import keras
import numpy as np

from keras_vicreg.data.image_checks import check_views
from keras_vicreg.data.in_memory import as_views, in_memory
from keras_vicreg.devices import replicas


class EpochBatches(keras.utils.PyDataset):
    """Complete batches whose order and views hang on the seed and the epoch alone.

    So a resumed run sees what an uninterrupted one would have seen. The last incomplete
    batch is left out; which images that are changes with the order.

    Args:
        samples: int, number of images.
        batch_size: int, at least 2, at most `samples`.
        seed: int, seed of the orders. Defaults to 0.

    Raises:
        ValueError: if the images are fewer than a batch.
    """

    def __init__(self, samples: int, batch_size: int, *, seed: int = 0):
        super().__init__()
        if type(batch_size) is not int or not 2 <= batch_size <= samples:
            raise ValueError(
                "`batch_size` must be an integer of at least 2 and at most the number "
                f"of images. Received: batch_size={batch_size!r}, {samples} images"
            )
        self.samples, self.batch_size, self.seed = samples, batch_size, seed

    def __len__(self) -> int:
        return self.samples // self.batch_size

    def on_epoch_end(self) -> None:
        self.start_at(self.epoch + 1)

    def start_at(self, epoch: int) -> None:
        """Begins an epoch, 0-based; `fit` calls it with its `initial_epoch`."""
        self.epoch = epoch
        self.random = np.random.default_rng((self.seed, epoch))

    def reading(self):
        """A context around all that reads the batches, the whole of `fit`."""
        return contextlib.nullcontext()


class Batches(EpochBatches):
    """Batches of an array of images, or of several arrays, one a view.

    Args:
        images: array or tensor `(n, height, width, channels)`, uint8 or float 0..255,
            or a list of images of one size; or a tuple `(a, b)` of such arrays, the
            views. What follows the first may be of other shapes, and anything but
            images.
        batch_size: int, at least 2, at most n.
        shuffle: whether each epoch has an order of its own. Defaults to `True`.
        seed: int, seed of the orders. Defaults to 0.
        channels: int, how many the images must have. Defaults to `None`, any number.

    Raises:
        ValueError: if the arrays are no images, are not finite or not in 0..255,
            or are fewer than a batch.

    Example:

    >>> batches = Batches(images, batch_size=256)
    >>> model.fit(batches, epochs=10)
    """

    def __init__(self, images, batch_size: int, *, shuffle=True, seed=0, channels=None):
        self.arrays = as_views(images)
        check_views(self.arrays, channels)
        super().__init__(len(self.arrays[0]), batch_size, seed=seed)
        self.shuffle = shuffle
        self.start_at(0)

    @staticmethod
    def accepts(x) -> bool:
        """Whether `x` is images in memory or the views of them."""
        return in_memory(x)

    def __getitem__(self, index: int):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        rows = replicas.share(rows)
        batch = tuple(array[rows] for array in self.arrays)
        return (batch if len(batch) > 1 else batch[0],)

    def start_at(self, epoch: int) -> None:
        super().start_at(epoch)
        self.order = np.arange(self.samples)
        if self.shuffle:
            self.order = self.random.permutation(self.samples)


def fresh_seed() -> int:
    """A seed for the orders of one call of `fit`, drawn as Keras draws its own.

    `keras.utils.set_random_seed` decides it; without, every call has another. Of
    several processes all have the same, 0.
    """
    return random.randint(1, 10**9) if replicas.process()[1] == 1 else 0
