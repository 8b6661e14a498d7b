"""Recipes: the optimizers that come of them, and the numbers that they refuse."""

import math

import keras
import numpy as np
import pytest

import keras_vicreg as kv
from keras_vicreg.devices import replicas
from keras_vicreg.runs.pretraining import build_model, build_optimizer
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


@pytest.mark.parametrize(
    ("optimizer", "warmup", "expected"),
    [("lars", None, 10), ("sgd", 0, 0), ("adamw", 2.5, 25)],
)
def test_the_rate_rises_for_the_warm_up_and_falls_to_a_thousandth(
    optimizer, warmup, expected
):
    """10 epochs of 10 steps; by default a tenth of them are the warm-up."""
    recipe = Recipe(
        optimizer=optimizer, learning_rate=0.8, warmup_epochs=warmup, **SMALL
    )
    optimizer = build_optimizer(recipe.resolved(16), 10, [])
    rates = []
    for step in range(101):
        optimizer.iterations.assign(step)
        rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
    assert int(np.argmax(rates)) == expected
    assert rates[expected] == pytest.approx(0.8)
    if expected:
        np.testing.assert_allclose(
            rates[:expected], 0.8 * np.arange(expected) / expected, atol=1e-6
        )
    assert rates[100] == pytest.approx(0.8 * 0.001, rel=1e-3)
    middle = expected + (100 - expected) // 2
    assert rates[middle] == pytest.approx(0.8 * (1 + 0.001) / 2, rel=0.03)


def test_lars_of_a_run_decays_as_the_recipe_says():
    recipe = Recipe(weight_decay=0.25, **SMALL).resolved(16)
    assert build_optimizer(recipe, 10, []).coupled_weight_decay == 0.25
    recipe = Recipe(**SMALL).resolved(16)
    assert build_optimizer(recipe, 10, []).coupled_weight_decay == 1e-6  # the paper's


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
