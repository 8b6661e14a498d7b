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


def in_pipeline(x) -> bool:
    """Whether `x` is a TensorFlow tensor of a graph, such as that of `tf.data`."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.is_symbolic_tensor(x)


def is_foreign(x) -> bool:
    """Whether `x` is a TensorFlow tensor of a graph under another Keras backend."""
    return in_pipeline(x) and not keras.ops.is_tensor(x)


def ops_for(x):
    """The namespace of array functions for the tensor `x`."""
    return tensorflow_ops() if is_foreign(x) else keras.ops


@functools.cache
def tensorflow_ops():
    """The functions of `keras.ops` that the augmentations use, over TensorFlow."""
    import tensorflow as tf

    return types.SimpleNamespace(
        abs=tf.abs,
        arange=lambda stop, dtype: tf.cast(tf.range(stop), dtype),
        argmax=lambda x, axis: tf.argmax(x, axis, output_type="int32"),
        broadcast_to=tf.broadcast_to,
        cast=tf.cast,
        clip=tf.clip_by_value,
        concatenate=tf.concat,
        cond=tf.cond,
        cos=tf.cos,
        convert_to_tensor=tf.convert_to_tensor,
        cumsum=tf.cumsum,
        exp=tf.exp,
        expand_dims=tf.expand_dims,
        flip=lambda x, axis: tf.reverse(x, [axis]),
        floor=tf.floor,
        fori_loop=_fori_loop,
        logical_and=tf.logical_and,
        matmul=tf.matmul,
        max=tf.reduce_max,
        maximum=tf.maximum,
        mean=tf.reduce_mean,
        min=tf.reduce_min,
        minimum=tf.minimum,
        ones_like=tf.ones_like,
        relu=tf.nn.relu,
        repeat=tf.repeat,
        reshape=tf.reshape,
        round=tf.round,
        shape=_shape,
        sin=tf.sin,
        sqrt=tf.sqrt,
        square=tf.square,
        stack=tf.stack,
        sum=tf.reduce_sum,
        take=tf.gather,
        take_along_axis=lambda x, indices, axis: tf.gather(
            x, indices, axis=axis, batch_dims=axis
        ),
        transpose=tf.transpose,
        where=tf.where,
    )


def _fori_loop(lower, upper, body, value):
    import tensorflow as tf

    def step(index, value):
        return index + 1, body(index, value)

    return tf.while_loop(lambda index, _: index < upper, step, (lower, value))[1]


def _shape(x):
    """Sizes as ints where they are fixed, as scalar tensors where they are not."""
    import tensorflow as tf

    sizes = zip(x.shape, tf.unstack(tf.shape(x)), strict=True)
    return tuple(dynamic if fixed is None else fixed for fixed, dynamic in sizes)
