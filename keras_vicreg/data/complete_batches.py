"""Complete batches of any data, since the loss is a statistic of the batch."""

import contextlib
import warnings

import keras

from keras_vicreg.data.batches import EpochBatches
from keras_vicreg.data.inputs import images_of
from keras_vicreg.data.untuned import untuned

LEAST = 2


def complete_batches(data, check_size=lambda size: None):
    """The same data without batches that hold less than the first one.

    A `tf.data.Dataset` that was batched without `drop_remainder=True` does not say how
    large its batches are: its first one is looked at.

    Args:
        data: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a `DataLoader`, a
            generator or another iterable of batches.
        check_size: function of the number of images in a batch, or of `None` as long
            as that is not known, that raises if it cannot be used.

    Raises:
        ValueError: if batches hold fewer than 2 images, `check_size` raises, or an
            incomplete batch cannot be left out.
    """
    if isinstance(data, EpochBatches):  # which has none
        check_size(data.batch_size)
        return data
    if hasattr(data, "element_spec"):
        return _of_dataset(data, check_size)
    if isinstance(data, keras.utils.PyDataset):
        return _of_py_dataset(data, check_size)
    if hasattr(data, "drop_last"):
        _check_loader(data)
    elif hasattr(data, "__next__"):
        return _of_iterator(data, check_size)
    return data


@contextlib.contextmanager
def until_they_end():
    """Without Keras's warning that data of unknown length have come to their end."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your input ran out of data")
        yield


def size_of(batch) -> int | None:
    """How many images a batch holds, `None` where it is not known yet."""
    shape = getattr(images_of(batch)[0], "shape", None)
    if shape is None or getattr(shape, "rank", 1) is None:
        return None
    return shape[0]


def check_least(size: int) -> None:
    """Raises unless a batch of this size has a loss."""
    if size < LEAST:
        raise ValueError(
            f"A batch must hold at least {LEAST} images, since the loss is a statistic "
            f"of the batch. Received: batches of {size}"
        )


def _of_dataset(dataset, check_size):
    if not hasattr(images_of(dataset.element_spec)[0], "dtype"):
        return dataset  # dealt out to replicas already
    size = size_of(dataset.element_spec)
    check_size(size)
    if size is not None:
        check_least(size)
        return dataset
    first = next(iter(untuned(dataset)), None)
    if first is None:
        return dataset
    check_least(size_of(first))
    check_size(size_of(first))
    return dataset.filter(_holds(size_of(first)))


def _holds(size):
    """Whether a batch holds as many images, as a function for `tf.data`."""
    import tensorflow as tf

    def whole(*batch):
        return tf.shape(keras.tree.flatten(batch)[0])[0] >= size

    return whole


def _of_py_dataset(batches, check_size):
    size = size_of(batches[0])
    check_least(size)
    check_size(size)
    count = batches.num_batches
    if count is None or size_of(batches[count - 1]) >= size:
        return batches
    return _WithoutTheLast(batches)


def _of_iterator(batches, check_size):
    least = None
    for batch in batches:
        size = size_of(batch)
        if least is None:
            check_least(size)
            check_size(size)
            least = size
        if size >= least:
            yield batch


def _check_loader(loader) -> None:
    """Raises unless a PyTorch `DataLoader` gives complete batches only."""
    size = loader.batch_size
    samples = len(loader.dataset) if hasattr(loader.dataset, "__len__") else None
    whole = samples is not None and size and samples % size == 0
    if not (loader.drop_last or whole):
        raise ValueError(
            "Every batch must be complete: make the loader with "
            "`DataLoader(..., drop_last=True)`. Received: drop_last=False, "
            f"batches of {size}, {'unknown' if samples is None else samples} images"
        )
    check_least(size)


class _WithoutTheLast(keras.utils.PyDataset):
    """Batches of another `PyDataset`, without its last one, which is incomplete."""

    def __init__(self, batches):
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self.batches = batches

    def __len__(self):
        return self.batches.num_batches - 1

    def __getitem__(self, index):
        return self.batches[index]

    def on_epoch_begin(self):
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.on_epoch_end()
