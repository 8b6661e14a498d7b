"""The VICReg loss against the authors' formula in NumPy float64."""

from functools import cache

import keras
import numpy as np
import pytest
from gradients import value_and_gradients

import keras_vicreg as kv

WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}
# name: (factor of the invariance per D, factor of the hinge, N minus this in variance)
RULES = {
    "official": (0, 0.5, 1),
    "tutorial": (0, 1.0, 1),
    "population": (0, 0.5, 0),
    "paper": (1, 1.0, 1),
}
GOLDEN = {
    "official": 13.440087498323152,
    "tutorial": 26.52010749086197,
    "population": 13.818424858788603,
    "paper": 28.513447099806160,
}


@cache
def embeddings(samples, features):
    r = np.random.default_rng(0)
    a = 0.5 * r.standard_normal((samples, features))
    return a, a + 0.1 * r.standard_normal((samples, features))


@cache
def covariance_reference(samples, features, view):
    """Penalty and gradient, with the (D, D) covariance written out."""
    z = embeddings(samples, features)[view]
    z = z - z.mean(axis=0)
    covariance = z.T @ z / (samples - 1)
    np.fill_diagonal(covariance, 0)
    gradient = 4 / (features * (samples - 1)) * z @ covariance
    return (covariance**2).sum() / features, gradient


def reference(samples, features, convention):
    """Terms and the gradients of the weighted loss, float64."""
    per_sample, hinge, correction = RULES[convention]
    views = embeddings(samples, features)
    scale = features if per_sample else 1
    difference = views[0] - views[1]
    invariance = (difference**2).mean() * scale
    variance = covariance = 0
    gradients = []
    for view, sign in ((0, 1), (1, -1)):
        z = views[view] - views[view].mean(axis=0)
        std = np.sqrt((z**2).sum(axis=0) / (samples - correction) + 1e-4)
        variance += hinge * np.maximum(0, 1 - std).mean()
        slope = -hinge / features * (std < 1) * z / ((samples - correction) * std)
        penalty, penalty_slope = covariance_reference(samples, features, view)
        covariance += penalty
        gradients.append(
            25 * sign * 2 * difference * scale / difference.size
            + 25 * slope
            + penalty_slope
        )
    terms = {"invariance": invariance, "variance": variance, "covariance": covariance}
    return terms, gradients


@pytest.mark.every_backend
@pytest.mark.parametrize("convention", RULES)
def test_golden_values(convention):
    a, b = embeddings(16, 8)
    loss = float(kv.VICRegLoss(convention=convention)(a, b))
    assert loss == pytest.approx(GOLDEN[convention], rel=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("convention", RULES)
@pytest.mark.parametrize("shape", [(16, 8), (3, 5), (256, 8192), (2048, 256)], ids=str)
def test_values_and_gradients(shape, convention):
    a, b = (z.astype("float32") for z in embeddings(*shape))
    terms, expected = reference(*shape, convention)
    ours = kv.vicreg_terms(a, b, convention=convention)
    for name, value in terms.items():
        assert float(ours[name]) == pytest.approx(value, rel=1e-5), name
    loss = kv.VICRegLoss(convention=convention)
    value, gradients = value_and_gradients(loss, a, b)
    assert value == pytest.approx(sum(WEIGHTS[k] * v for k, v in terms.items()), 1e-5)
    for gradient, wanted in zip(gradients, expected):
        error = np.abs(gradient - wanted).max() / np.abs(wanted).max()
        assert error < 1e-5


@pytest.mark.every_backend
def test_far_from_the_origin():
    """Embeddings around 100 with a standard deviation of 0.01 stay finite and right."""
    a, b = (100 + 0.02 * z for z in embeddings(64, 32))
    ours = kv.vicreg_terms(a.astype("float32"), b.astype("float32"))
    z = [v.astype("float32").astype("float64") for v in (a, b)]
    std = [np.sqrt(v.var(axis=0, ddof=1) + 1e-4) for v in z]
    assert float(ours["variance"]) == pytest.approx(
        sum((1 - s).mean() / 2 for s in std), rel=1e-5
    )


@pytest.mark.every_backend
def test_collapsed_embeddings_have_finite_gradients():
    a = np.ones((8, 4), "float32")
    value, gradients = value_and_gradients(kv.VICRegLoss(), a, a)
    assert value == pytest.approx(25 * 0.99, rel=1e-5)
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.every_backend
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int32"])
def test_float32_whatever_comes_in(dtype):
    a, b = (keras.ops.cast(4 * z, dtype) for z in embeddings(16, 8))
    terms = kv.vicreg_terms(a, b)
    a32, b32 = keras.ops.cast(a, "float32"), keras.ops.cast(b, "float32")
    for name, value in kv.vicreg_terms(a32, b32).items():
        assert keras.backend.standardize_dtype(terms[name].dtype) == "float32"
        assert float(terms[name]) == float(value)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)], ids=str)
def test_batch_of_unknown_size(shape):
    """Both sides of the covariance are reached where the graph is for any batch."""
    import tensorflow as tf

    spec = tf.TensorSpec([None, shape[1]])
    loss = kv.VICRegLoss()
    graph = tf.function(lambda a, b: loss(a, b), input_signature=[spec, spec])
    a, b = (z.astype("float32") for z in embeddings(*shape))
    assert float(graph(a, b)) == pytest.approx(float(loss(a, b)), rel=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((1, 8), (1, 8), r"at least 2 samples.*Received: .*\(1, 8\)"),
        ((4, 8), (4, 9), r"equal shapes.*\(4, 8\) and \(4, 9\)"),
        ((4, 8), (5, 8), r"equal shapes.*\(4, 8\) and \(5, 8\)"),
        ((4,), (4,), r"\(batch, features\).*\(4,\)"),
        ((2, 4, 8), (2, 4, 8), r"\(batch, features\).*\(2, 4, 8\)"),
    ],
)
def test_shapes_are_checked(a, b, message):
    with pytest.raises(ValueError, match=message):
        kv.vicreg_terms(np.zeros(a), np.zeros(b))


def test_convention_is_checked():
    with pytest.raises(ValueError, match=r"official.*Received: convention='offical'"):
        kv.vicreg_terms(np.zeros((4, 8)), np.zeros((4, 8)), convention="offical")
    with pytest.raises(ValueError, match="offical"):
        kv.VICRegLoss(convention="offical")


@pytest.mark.parametrize("weight", [-1.0, "25", None, True])
def test_weights_are_checked(weight):
    with pytest.raises(ValueError, match="`variance_weight` must be a number"):
        kv.VICRegLoss(variance_weight=weight)


def test_configuration():
    loss = kv.VICRegLoss(10, 5, 2, "paper")
    copy = kv.VICRegLoss.from_config(loss.get_config())
    a, b = embeddings(16, 8)
    assert float(copy(a, b)) == float(loss(a, b))
