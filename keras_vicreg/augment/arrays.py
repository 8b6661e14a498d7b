"""The array functions of the pixel formulas: `keras.ops`, or TensorFlow in `tf.data`.

Every formula of `keras_vicreg.augment` is written once, over the names of `keras.ops`.
A `tf.data` pipeline under the JAX or torch backend hands over symbolic TensorFlow
tensors, which `keras.ops` cannot take there; `ops_for` then answers with a table of the
same names over TensorFlow.
"""

import functools
import sys
import types

import keras


def is_foreign(x):
    """Whether `x` is a symbolic TensorFlow tensor under another Keras backend."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.is_symbolic_tensor(x) and not keras.ops.is_tensor(x)


def ops_for(x):
    """The namespace of array functions for the tensor `x`."""
    return _tensorflow() if is_foreign(x) else keras.ops


@functools.cache
def _tensorflow():
    import tensorflow as tf

    return types.SimpleNamespace(
        abs=tf.abs,
        all=tf.reduce_all,
        any=tf.reduce_any,
        arange=lambda n, dtype: tf.range(tf.cast(n, dtype), dtype=dtype),
        argmax=lambda x, axis: tf.argmax(x, axis, output_type="int32"),
        broadcast_to=tf.broadcast_to,
        cast=tf.cast,
        clip=tf.clip_by_value,
        concatenate=tf.concat,
        convert_to_tensor=tf.convert_to_tensor,
        cumsum=tf.cumsum,
        exp=tf.exp,
        expand_dims=tf.expand_dims,
        flip=lambda x, axis: tf.reverse(x, [axis % x.shape.rank]),
        floor=tf.floor,
        logical_and=tf.logical_and,
        logical_not=tf.logical_not,
        matmul=tf.matmul,
        max=tf.reduce_max,
        maximum=tf.maximum,
        mean=tf.reduce_mean,
        min=tf.reduce_min,
        minimum=tf.minimum,
        ones_like=tf.ones_like,
        relu=tf.nn.relu,
        reshape=tf.reshape,
        round=tf.round,
        shape=lambda x: tuple(
            dynamic if static is None else static
            for static, dynamic in zip(x.shape, tf.unstack(tf.shape(x)), strict=True)
        ),
        sqrt=tf.sqrt,
        square=tf.square,
        stack=tf.stack,
        sum=tf.reduce_sum,
        take=tf.gather,
        transpose=tf.transpose,
        where=tf.where,
    )
