"""A tiny encoder and tiny data: a training step takes milliseconds."""

import keras
import numpy as np

import keras_vicreg as kv


def images(samples=32, size=8, seed=0):
    """Random uint8 images `(samples, size, size, 3)`."""
    shape = (samples, size, size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def encoder(size=8, features=6, batch_norm=True):
    """One convolution, `(batch, size, size, 3)` -> `(batch, features)`."""
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    x = keras.layers.Conv2D(features, 3, strides=2)(x)
    if batch_norm:
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@keras.saving.register_keras_serializable("toys")
class ShiftedViews(keras.layers.Layer):
    """Views without chance: the images, and their mirror images a little darker."""

    def call(self, images):
        images = keras.ops.cast(images, "float32")
        return images, keras.ops.flip(images, axis=2) * 0.9


def vicreg(batch_norm=True, views=None, optimizer="sgd", jit_compile="auto", **options):
    """A compiled VICReg of the tiny encoder and a 6-16-16 expander."""
    keras.utils.set_random_seed(0)
    head = (
        kv.expander((16, 16))
        if batch_norm
        else keras.Sequential(
            [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(16)]
        )
    )
    model = kv.VICReg(encoder(batch_norm=batch_norm), head, views=views, **options)
    model.compile(optimizer, jit_compile=jit_compile)
    return model


# What a method needs to be tiny, beside the head.
SMALL = {
    "moco": {"queue_size": 24},
    "swav": {"prototypes": 12, "frozen_steps": 1, "queue_size": 32},
    "byol": {"predictor": (8,), "total_steps": 8},
    "simsiam": {"predictor": (8,)},
    "wmse": {"slice_size": 8},
    "scan": {"num_clusters": 4, "num_heads": 2},
}


def method(name, views=None, optimizer="sgd", batch_norm=True, **options):
    """A compiled model of a method around the tiny encoder, always the same."""
    keras.utils.set_random_seed(0)
    features = {"wmse": 2, "scan": 8}.get(name, 16)
    head = kv.expander((16, features), batch_norm=batch_norm)
    options = {"batch_norm": batch_norm, **SMALL.get(name, {}), **options}
    model = kv.METHODS[name](
        encoder(batch_norm=batch_norm), expander=head, views=views, **options
    )
    model.compile(optimizer)
    return model
