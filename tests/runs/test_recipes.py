"""Recipes: the optimizers that come of them, and the numbers that they refuse."""

import math

import keras
import numpy as np
import pytest

import keras_vicreg as kv
from keras_vicreg.devices import replicas
from keras_vicreg.runs.pretraining import build_model
from keras_vicreg.runs.recipes import Recipe

SMALL = {"width": 1 / 16, "expander": (8, 8), "batch_size": 8, "epochs": 10}


def model_of(**options):
    """The compiled model of a small recipe, with its optimizer built."""
    recipe = Recipe(learning_rate=0.1, warmup_epochs=0, **SMALL, **options)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        model = build_model(recipe.resolved(16), steps_per_epoch=10)
    finally:
        keras.config.set_dtype_policy("float32")
    model.optimizer.build(model.trainable_variables)
    return model


def apply(optimizer, gradients, variables) -> list:
    """The values of variables after a step, which is one a replica or, on JAX, pure."""
    if keras.config.backend() == "jax":
        state = [v.value for v in optimizer.variables]
        values = [v.value for v in variables]
        return optimizer.stateless_apply(state, gradients, values)[0]
    if replicas.num_replicas() == 1:
        optimizer.apply(gradients, variables)
    else:
        import tensorflow as tf

        strategy = tf.distribute.get_strategy()
        strategy.run(lambda: optimizer.apply(gradients, variables))
    return variables


def decayed(model):
    """The factor by which a step without a gradient multiplies each variable."""
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(keras.ops.ones(variable.shape))
    zeros = [keras.ops.zeros(variable.shape) for variable in variables]
    values = apply(model.optimizer, zeros, variables)
    return {
        v.path: keras.ops.convert_to_numpy(value) for v, value in zip(variables, values)
    }


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("optimizer", "precision"),
    [
        ("lars", "float32"),
        ("sgd", "float32"),
        pytest.param("adamw", "float32", marks=pytest.mark.slow_elsewhere),
        pytest.param("adamw", "mixed_float16", marks=pytest.mark.slow_elsewhere),
    ],
)
def test_weight_decay_spares_biases_and_normalization(optimizer, precision):
    model = model_of(optimizer=optimizer, precision=precision, weight_decay=0.5)
    spared = 0
    for name, value in decayed(model).items():
        kernel = name.endswith("kernel")
        spared += not kernel
        if optimizer == "lars" and kernel:
            assert np.all(value < 1), name
        else:
            expected = 1 - 0.1 * 0.5 if kernel else 1
            np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=name)
    assert spared > 40  # gamma and beta of twenty layers and more


def test_weight_decay_spares_them_on_replicas():
    with kv.distribution("mirrored"):
        assert replicas.num_replicas() == 2
        model = model_of(optimizer="sgd", weight_decay=0.5)
        for name, value in decayed(model).items():
            expected = 0.95 if name.endswith("kernel") else 1
            np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0}, "`learning_rate` must be greater than 0"),
        ({"learning_rate": 0.0}, "`learning_rate` must be greater than 0"),
        ({"learning_rate": -0.1}, "`learning_rate` must be .*-0.1"),
        ({"learning_rate": math.nan}, "`learning_rate` must be .*nan"),
        ({"learning_rate": math.inf}, "`learning_rate` must be .* finite.*inf"),
        ({"learning_rate": True}, "`learning_rate` must be .*True"),
        ({"learning_rate": "0.1"}, "`learning_rate` must be .*'0.1'"),
        ({"weight_decay": -1e-6}, "`weight_decay` must be at least 0.*-1e-06"),
        ({"weight_decay": math.nan}, "`weight_decay` must be at least 0.*nan"),
        ({"weight_decay": math.inf}, "`weight_decay` must be .* finite.*inf"),
        ({"warmup_epochs": -1}, "`warmup_epochs` must be at least 0.*-1"),
        ({"warmup_epochs": math.nan}, "`warmup_epochs` must be at least 0.*nan"),
        ({"warmup_epochs": 100}, "`warmup_epochs` must be less than `epochs`.*=100"),
        ({"seed": -1}, "`seed` must be an integer of at least 0.*-1"),
        ({"seed": 1.5}, "`seed` must be an integer of at least 0.*1.5"),
    ],
)
def test_numbers_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options)


def test_numbers_at_their_edges():
    recipe = Recipe(learning_rate=1, weight_decay=0, warmup_epochs=0, seed=0)
    assert recipe.resolved(32).warmup_epochs == 0
    assert Recipe(weight_decay=np.float64(1e-4)).weight_decay == 1e-4
