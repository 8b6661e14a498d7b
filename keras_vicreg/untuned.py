"""Data for Keras's loops whose `tf.data` iterators end when their data do."""

import keras
import numpy as np
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter


def untuned(data, *, batch_size: int | None = None, shuffle: bool = False):
    """What `fit` and `predict` take, without the thread that tunes `tf.data`.

    That thread looks at an iterator after 10 ms, 20 ms more, 40 ms more and so on.
    An iterator that ends wakes it and waits for it, but where it looks a moment too
    early whether it may stop, it sleeps out its period first: an epoch of 3 s takes
    5.1 s then, one of 6 s takes 10.2 s, one of 25 s takes 41 s, every other time. The
    numbers it would set, of parallel calls and of prefetched batches, are the number
    of cores and a queue that grows when it was empty without it.

    Args:
        data: a `tf.data.Dataset`, a `keras.utils.PyDataset` or a NumPy array.
        batch_size: int, for an array. Defaults to `None`, Keras's 32.
        shuffle: whether the batches of a `PyDataset` come in any order.

    Returns:
        The same dataset without tuning, if its options do not ask for it; what stands
        for a `PyDataset` or an array in `fit` and `predict`; anything else as it is.
    """
    if hasattr(data, "with_options"):
        return _untuned_dataset(data)
    # On TensorFlow, Keras makes the dataset of both inside. It takes an adapter in
    # their place, but has no public name for one.
    if isinstance(data, np.ndarray):
        return _Array(data, batch_size=batch_size)
    if isinstance(data, keras.utils.PyDataset):
        return _Batches(data, shuffle=shuffle)
    return data


def _untuned_dataset(dataset):
    import tensorflow as tf

    if dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


class _Array(ArrayDataAdapter):
    def get_tf_dataset(self):
        return _untuned_dataset(super().get_tf_dataset())


class _Batches(PyDatasetAdapter):
    def get_tf_dataset(self):
        return _untuned_dataset(super().get_tf_dataset())
