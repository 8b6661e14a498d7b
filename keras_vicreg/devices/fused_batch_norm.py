"""Batch normalization as one TensorFlow kernel, in training.

Keras composes batch normalization of some ten elementwise passes over the feature
maps, forward and backward; TensorFlow has one kernel for each way. Only what is
computed while a step is traced is exchanged: the layers, their weights and what is
saved of them stay Keras's own.
"""

import contextlib

import keras

from keras_vicreg.devices import replicas


@contextlib.contextmanager
def fused_batch_norm(model):
    """Inside, the batch normalization of feature maps in `model` is one kernel.

    Value, gradient and running statistics are those of `keras.layers`, to rounding.
    Layers of vectors, of another axis, renormalizing, masked or frozen ones, those
    whose weights are not float32, and all of them outside of training, do as ever; and
    so does every layer where there are several replicas, of which the kernel knows
    nothing, or XLA, which has its own.

    Args:
        model: a `keras.Model` on the TensorFlow backend.
    """
    alone = replicas.num_replicas() == 1 and not model.jit_compile
    layers = [
        layer
        for layer in (model._flatten_layers(include_self=False) if alone else ())
        if type(layer) is keras.layers.BatchNormalization and _is_fusible(layer)
    ]
    for layer in layers:
        layer.call = _FusedCall(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _is_fusible(layer) -> bool:
    config = layer.get_config()
    plain = not config["synchronized"] and not config.get("renorm")
    return plain and layer.scale and layer.center and layer.built


class _FusedCall:
    """The `call` of a layer, which it stands in front of."""

    def __init__(self, layer):
        self.layer, self.stock = layer, layer.call

    def __call__(self, inputs, training=None, mask=None):
        layer, rank = self.layer, len(inputs.shape)
        fused = (
            training
            and layer.trainable
            and mask is None
            and rank == 4
            and layer.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) != "float64"
            and layer.variable_dtype == "float32"  # the kernel's own, of any inputs
        )
        if not fused:
            return self.stock(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(layer.gamma),
            offset=tf.convert_to_tensor(layer.beta),
            mean=(),
            variance=(),
            epsilon=layer.epsilon,
        )
        # The kernel gives the variance over n - 1, of which Keras keeps that over n.
        n = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], "float32")
        variance *= (n - 1) / n
        for moving, now in (
            (layer.moving_mean, mean),
            (layer.moving_variance, variance),
        ):
            moving.assign(moving * layer.momentum + now * (1 - layer.momentum))
        return outputs
