"""LARS, the schedule and the learning rates against transcriptions of the rules."""

import math

import keras
import numpy as np
import pytest

import keras_vicreg as kv


class LarsReference:
    """The rule for one parameter, in float64."""

    def __init__(self, excluded, momentum=0.9, weight_decay=0.01, eta=0.001):
        self.excluded, self.momentum = excluded, momentum
        self.weight_decay, self.eta = weight_decay, eta
        self.buffer = 0.0

    def step(self, p, g, learning_rate):
        if not self.excluded:
            g = g + self.weight_decay * p
            size, slope = np.linalg.norm(p), np.linalg.norm(g)
            g = g * (self.eta * size / slope if size > 0 and slope > 0 else 1.0)
        self.buffer = self.momentum * self.buffer + g
        return p - learning_rate * self.buffer


@pytest.mark.every_backend
def test_lars_follows_the_rule_for_20_steps():
    r = np.random.default_rng(0)
    start = {
        "kernel": r.standard_normal((5, 4)),
        "bias": r.standard_normal(4),
        "zero": np.zeros((3, 3)),  # norm 0: the trust ratio is 1
        "convolution": 30 * r.standard_normal((3, 3, 2, 4)),
    }
    variables = [keras.Variable(value, name=name) for name, value in start.items()]
    schedule = kv.warmup_cosine(2.0, total_steps=20, warmup_steps=5)
    optimizer = kv.LARS(schedule, weight_decay=0.01)
    optimizer.build(variables)
    rules = [LarsReference(excluded=name == "bias") for name in start]
    expected = list(start.values())
    for step in range(20):
        gradients = [r.standard_normal(v.shape) for v in expected]
        optimizer.apply(
            [keras.ops.convert_to_tensor(g, dtype="float32") for g in gradients],
            variables,
        )
        rate = float(schedule(step))
        expected = [
            rule.step(p, g, rate) for rule, p, g in zip(rules, expected, gradients)
        ]
    for variable, wanted in zip(variables, expected):
        ours = keras.ops.convert_to_numpy(variable)
        assert np.abs(ours - wanted).max() <= 2e-6 * np.abs(wanted).max(), variable.name


@pytest.mark.every_backend
def test_lars_leaves_frozen_directions_alone():
    """A parameter and a gradient that are both zero stay zero, without NaN."""
    variable = keras.Variable(np.zeros((3, 3)))
    optimizer = kv.LARS(1.0, weight_decay=0.1)
    optimizer.build([variable])
    optimizer.apply([keras.ops.zeros((3, 3))], [variable])
    assert np.all(keras.ops.convert_to_numpy(variable) == 0)


def test_lars_excludes_by_path():
    layer = keras.layers.Dense(3, name="head")
    layer.build((None, 2))
    default, chosen = kv.LARS(0.1), kv.LARS(0.1, exclude=["head/kernel"])
    assert [default.is_excluded(v) for v in layer.weights] == [False, True]
    assert [chosen.is_excluded(v) for v in layer.weights] == [True, False]


def test_lars_configuration():
    optimizer = kv.LARS(
        kv.warmup_cosine(0.3, 100, 10), 0.8, 1e-6, 0.002, exclude=["bias"]
    )
    config = keras.saving.serialize_keras_object(optimizer)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == optimizer.get_config()
    assert copy.coupled_weight_decay == 1e-6
    assert float(copy._learning_rate(55)) == float(optimizer._learning_rate(55))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\).*momentum=1.0"),
        ({"momentum": math.nan}, r"`momentum` must be in \[0, 1\).*momentum=nan"),
        ({"weight_decay": -1.0}, "`weight_decay` must be at least 0.*-1.0"),
        ({"weight_decay": math.nan}, "`weight_decay` must be at least 0.*nan"),
        ({"weight_decay": None}, "`weight_decay` must be at least 0.*None"),
        ({"trust_coefficient": -1.0}, "`trust_coefficient` must be at least 0"),
        ({"trust_coefficient": math.inf}, "`trust_coefficient` must be at .* finite"),
        ({"learning_rate": -0.1}, "`learning_rate` must be at least 0.*-0.1"),
        ({"learning_rate": math.nan}, "`learning_rate` must be at least 0.*nan"),
        ({"learning_rate": "0.1"}, "`learning_rate` must be at least 0.*'0.1'"),
        ({"exclude": "bias"}, "`exclude` must be a sequence of strings"),
    ],
)
def test_lars_arguments_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        kv.LARS(**{"learning_rate": 0.1, **options})


def schedule_reference(step, peak, total, warmup, final_ratio):
    if step < warmup:
        return peak * step / warmup
    q = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
    return peak * q + peak * final_ratio * (1 - q)


@pytest.mark.every_backend
@pytest.mark.parametrize("warmup", [0, 1, 30])
def test_warmup_cosine(warmup):
    schedule = kv.warmup_cosine(1.6, total_steps=100, warmup_steps=warmup)
    steps = [*range(0, 101, 10), 1, 15, 29, 31, 99]
    ours = [float(schedule(step)) for step in steps]
    expected = [schedule_reference(s, 1.6, 100, warmup, 0.001) for s in steps]
    np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.1, 10, 10), "`warmup_steps` must be"),
        ((0.1, 10, -1), "`warmup_steps` must be"),
        ((0.1, math.nan, 1), "`warmup_steps` must be .* less than `total_steps`"),
        ((0.1, math.inf, 1), "`warmup_steps` must be .* less than `total_steps`"),
        ((0.0, 10, 1), "`peak` must be greater than 0"),
        ((math.nan, 10, 1), "`peak` must be greater than 0"),
        ((math.inf, 10, 1), "`peak` must be greater than 0 and finite"),
        ((0.1, 10, 1, math.nan), "`final_ratio` must be in 0..1"),
        ((0.1, 10, 1, 2.0), "`final_ratio` must be in 0..1"),
    ],
)
def test_warmup_cosine_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        kv.warmup_cosine(*arguments)


@pytest.mark.parametrize(
    ("batch_size", "epochs", "rate"),
    [
        (2048, 1000, 1.6),
        (2048, 100, 2.4),
        (512, 100, 0.8),
        (256, 100, 0.5),
        (128, 100, 0.4),
        (64, 100, 0.2),
        (4096, 100, 4.8),
    ],
)
def test_recommended_learning_rate(batch_size, epochs, rate):
    assert kv.recommended_learning_rate(batch_size, epochs) == pytest.approx(rate)


def test_recommended_learning_rate_between_and_beyond():
    between = kv.recommended_learning_rate(1024, 300)
    assert 0.2 < between / 4 < 0.4
    with pytest.raises(ValueError, match="batch_size=1, epochs=10"):
        kv.recommended_learning_rate(1, 10)
    with pytest.raises(ValueError, match="batch_size=256, epochs=nan"):
        kv.recommended_learning_rate(256, math.nan)
