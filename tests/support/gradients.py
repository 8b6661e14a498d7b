"""Value and gradients of a scalar function of arrays, on any backend."""

import keras
import numpy as np


def value_and_gradients(function, *arrays):
    """`(value, gradients)` of `function(*tensors)`, as NumPy arrays."""
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        gradients = tape.gradient(value, tensors)
    elif keras.config.backend() == "jax":
        import jax

        gradient = jax.value_and_grad(function, tuple(range(len(tensors))))
        value, gradients = jax.jit(gradient)(*tensors)
    else:
        tensors = [tensor.requires_grad_() for tensor in tensors]
        value = function(*tensors)
        value.backward()
        gradients = [tensor.grad for tensor in tensors]
        value = value.detach()
    return float(value), [np.asarray(keras.ops.convert_to_numpy(g)) for g in gradients]
