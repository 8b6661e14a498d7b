"""Complete batches for `fit`, in the same order on every backend."""

import keras
import numpy as np

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


class Batches(EpochBatches):
    """Batches of an array of images, or of a pair of arrays.

    Args:
        images: array `(n, height, width, channels)`, uint8 or float 0..255, or a pair
            `(a, b)` of such arrays, the two views.
        batch_size: int, at least 2, at most n.
        shuffle: whether each epoch has an order of its own. Defaults to `True`.
        seed: int, seed of the orders. Defaults to 0.

    Raises:
        ValueError: if the arrays are no images, hold NaN or infinity, or are fewer
            than a batch.

    Example:

    >>> batches = Batches(images, batch_size=256)
    >>> model.fit(batches, epochs=10)
    """

    def __init__(self, images, batch_size: int, *, shuffle=True, seed=0):
        self.arrays = tuple(images) if isinstance(images, (list, tuple)) else (images,)
        for array in self.arrays:
            check_images(array)
        if len({array.shape for array in self.arrays}) != 1:
            raise ValueError(
                "The two views must have equal shapes. "
                f"Received: {[array.shape for array in self.arrays]}"
            )
        super().__init__(len(self.arrays[0]), batch_size, seed=seed)
        self.shuffle = shuffle
        self.start_at(0)

    @staticmethod
    def accepts(x) -> bool:
        """Whether `x` is an array in memory or a pair of them."""
        arrays = x if isinstance(x, (list, tuple)) else (x,)
        return len(arrays) in (1, 2) and all(hasattr(a, "__array__") for a in arrays)

    def __getitem__(self, index: int):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        rows = replicas.share(rows)
        batch = tuple(array[rows] for array in self.arrays)
        return (batch if len(batch) == 2 else batch[0],)

    def start_at(self, epoch: int) -> None:
        super().start_at(epoch)
        self.order = np.arange(self.samples)
        if self.shuffle:
            self.order = self.random.permutation(self.samples)


def check_images(images) -> None:
    """Raises unless `images` is a finite array of rank 4."""
    if len(images.shape) != 4:
        raise ValueError(
            "Images must have the shape (n, height, width, channels). "
            f"Received: an array of shape {tuple(images.shape)}"
        )
    if np.issubdtype(images.dtype, np.floating):
        bad = ~np.isfinite(images).all(axis=(1, 2, 3))
        if bad.any():
            raise ValueError(
                "Images must be finite, 0..255. Received: NaN or infinity in "
                f"{bad.sum()} of {len(images)} images, the first at index "
                f"{bad.argmax()}"
            )
