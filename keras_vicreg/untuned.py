"""Data for Keras's loops whose `tf.data` iterators end when their data do."""

import keras
import numpy as np
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter


def untuned(data):
    """A `tf.data.Dataset` without the thread that tunes it; anything else as it is.

    That thread looks at an iterator after 10 ms, 20 ms more, 40 ms more and so on.
    An iterator that ends wakes it and waits for it, but where it looks a moment too
    early whether it may stop, it sleeps out its period first: an epoch of 3 s takes
    5.1 s then, one of 6 s takes 10.2 s, one of 25 s takes 41 s, every other time. The
    numbers it would set, of parallel calls and of prefetched batches, are the number
    of cores and a queue that grows when it was empty without it.

    A dataset whose options say whether to tune it stays as it is.
    """
    if not hasattr(data, "with_options"):
        return data
    if data.options().autotune.enabled is not None:
        return data
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def untuned_inputs(data, *, batch_size: int | None = None, shuffle: bool = False):
    """What Keras's `fit` and `predict` take, so that nothing they iterate is tuned.

    Args:
        data: a `tf.data.Dataset`, a `keras.utils.PyDataset` or a NumPy array; anything
            else is returned as it is.
        batch_size: int, for an array. Defaults to `None`, Keras's 32.
        shuffle: whether the batches of a `PyDataset` come in any order.
    """
    # On TensorFlow, Keras makes the dataset of both inside. It takes an adapter in
    # their place, but has no public name for one.
    if isinstance(data, np.ndarray):
        return _Array(data, batch_size=batch_size)
    if isinstance(data, keras.utils.PyDataset):
        return _Batches(data, shuffle=shuffle)
    return untuned(data)


class _Array(ArrayDataAdapter):
    def get_tf_dataset(self):
        return untuned(super().get_tf_dataset())


class _Batches(PyDatasetAdapter):
    def get_tf_dataset(self):
        return untuned(super().get_tf_dataset())
