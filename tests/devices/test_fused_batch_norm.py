"""Fused batch normalization computes what Keras's own layers do."""

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv

if keras.config.backend() != "tensorflow":
    pytest.skip("TensorFlow only", allow_module_level=True)

import tensorflow as tf

from keras_vicreg.devices.fused_batch_norm import fused_batch_norm


def images(seed=0, samples=8):
    shape = (samples, 16, 16, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype("float32")


def kernels(function, *arguments):
    """Number of fused kernels in the graph of a function."""
    graph = tf.function(function).get_concrete_function(*arguments).graph
    return sum(op.type == "FusedBatchNormV3" for op in graph.get_operations())


def twins(**options):
    """Two encoders with the same weights, none of them at its default."""
    first, second = (kv.encoder("resnet18", (16, 16, 3), **options) for _ in range(2))
    rng = np.random.default_rng(0)
    first.set_weights(
        [
            rng.uniform(0.5, 1.5, w.shape) * (0.05 if w.ndim == 4 else 1)
            for w in first.get_weights()
        ]
    )
    second.set_weights(first.get_weights())
    return first, second


def step(model, x):
    """Representations and gradients of a training step."""
    with tf.GradientTape() as tape:
        y = model(x, training=True)
        loss = tf.reduce_mean(y * tf.linspace(-1.0, 1.0, y.shape[-1]))
    return y, tape.gradient(loss, [v.value for v in model.trainable_variables])


def test_values_gradients_and_running_statistics_are_keras_own():
    stock, fused = twins(stem="cifar", width=0.25)
    for seed in range(3):
        expected_values, expected_gradients = step(stock, images(seed))
        with fused_batch_norm(fused):
            values, gradients = step(fused, images(seed))
        np.testing.assert_allclose(values, expected_values, rtol=1e-5, atol=1e-6)
        for gradient, expected in zip(gradients, expected_gradients, strict=True):
            error = np.linalg.norm(gradient - expected)
            assert error < 2e-5 * np.linalg.norm(expected) + 1e-9
    for one, other in zip(fused.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.any(fused.get_layer("bn1").moving_mean != 1)


def test_every_layer_of_feature_maps_is_fused_and_only_in_training():
    model, _ = twins(stem="cifar", width=0.25)
    with fused_batch_norm(model):
        assert kernels(lambda: model(images(), training=True)) == 20
        assert kernels(lambda: model(images(), training=False)) == 0
    assert kernels(lambda: model(images(), training=True)) == 0


def test_neither_several_replicas_nor_xla_are_fused():
    model, _ = twins(stem="cifar", width=0.25)
    model.compile(jit_compile=True)
    with fused_batch_norm(model):
        assert kernels(lambda: model(images(), training=True)) == 0
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    model.compile(jit_compile=False)
    found = []

    def replica():
        with fused_batch_norm(model):
            found.append(kernels(lambda: model(images(), training=True)))

    strategy.run(replica)
    assert found == [0, 0]


def test_nothing_of_it_is_left(tmp_path):
    model, _ = twins(width=0.25)
    with fused_batch_norm(model):
        model.save(tmp_path / "inside.keras")
    model.save(tmp_path / "after.keras")
    with pytest.raises(ValueError, match="shape"), fused_batch_norm(model):
        model(np.zeros((1, 2, 3)), training=True)
    assert all("call" not in vars(layer) for layer in model.layers)
    configs = [
        keras.saving.load_model(tmp_path / f"{name}.keras").get_config()
        for name in ("inside", "after")
    ]
    assert configs[0] == configs[1]


def normalized(shape=(4, 4, 3), mask=None, frozen=False, dtype=None, **options):
    x = keras.Input(shape)
    layer = keras.layers.BatchNormalization(dtype=dtype, **options)
    model = keras.Model(x, layer(x))
    layer.trainable = not frozen
    return model


@pytest.mark.parametrize(
    "model",
    [
        normalized((3,)),
        normalized((4, 3)),
        normalized(axis=1),
        normalized(scale=False),
        normalized(center=False),
        normalized(frozen=True),
        normalized(synchronized=True),
        normalized(dtype="float64"),
        normalized(dtype="float16"),
        normalized(dtype="bfloat16"),
    ],
)
def test_other_layers_do_as_ever(model):
    x = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:]))
    with fused_batch_norm(model):
        assert kernels(lambda: model(x, training=True)) == 0


def test_mixed_precision_is_as_close_as_it_is_precise():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        stock, fused = twins(stem="cifar", width=0.25)
    finally:
        keras.config.set_dtype_policy("float32")
    expected = stock(images(), training=True)
    with fused_batch_norm(fused):
        assert kernels(lambda: fused(images(), training=True)) == 20
        values = fused(images(), training=True)
    assert values.dtype == expected.dtype == tf.bfloat16
    difference = np.abs(tf.cast(values - expected, "float32")).max()
    assert difference < 0.05 * np.abs(tf.cast(expected, "float32")).max()


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_pure_policies_train_as_with_keras_own(policy):
    def fit(stock):
        """A whole step; batch normalization of a subclass is none that is fused."""
        model = toys.vicreg(views=toys.ShiftedViews())
        if stock:
            for layer in model.encoder.layers:
                if type(layer) is keras.layers.BatchNormalization:
                    layer.__class__ = type("Stock", (type(layer),), {})
        model.fit(toys.images(32), batch_size=16, shuffle=False, verbose=0)
        return model.get_weights()

    keras.config.set_dtype_policy(policy)
    try:
        ours, stock = fit(stock=False), fit(stock=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert ours[0].dtype.name == policy
    assert all(map(np.array_equal, ours, stock))


def test_a_layer_of_another_policy_than_the_model_is_not_fused():
    x = keras.Input((4, 4, 3))
    y = keras.layers.BatchNormalization()(x)
    y = keras.layers.BatchNormalization(dtype="bfloat16")(y)
    y = keras.layers.BatchNormalization(dtype="mixed_float16")(y)
    model = keras.Model(x, y)
    values = np.random.default_rng(0).normal(size=(8, 4, 4, 3))
    with fused_batch_norm(model):
        assert kernels(lambda: model(values, training=True)) == 2
