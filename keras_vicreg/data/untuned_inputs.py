"""Data for Keras's loops, which make `tf.data` pipelines of them on TensorFlow."""

import keras
import numpy as np
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from keras_vicreg.data.untuned import untuned


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
