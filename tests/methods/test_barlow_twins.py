"""The loss of Barlow Twins against its formula in NumPy float64."""

import numpy as np
import pytest
from formulas import check, float32, views
from gradients import value_and_gradients

import keras_vicreg as kv

# name: (N minus this in the standard deviation, epsilon, weight of the redundancy)
RULES = {
    "official": (0, 1e-5, 0.0051),
    "paper": (0, 0.0, 5e-3),
    "pseudocode": (1, 0.0, 5e-3),
}
GOLDEN = {
    ("official", (16, 8)): 0.20657384391928302,
    ("official", (8, 16)): 0.6084568745637065,
    ("paper", (16, 8)): 0.20612316334047606,
    ("paper", (8, 16)): 0.6050541143678693,
    ("pseudocode", (16, 8)): 0.346576912204748,
    ("pseudocode", (8, 16)): 1.2161383283026272,
}
NORMS = {
    ("official", (16, 8)): (0.169500733025, 0.166257274822),
    ("official", (8, 16)): (0.551364238163, 0.468714157801),
}


def reference(a, b, convention="official"):
    """The (D, D) matrix written out."""
    correction, epsilon, weight = RULES[convention]
    a, b = (
        (z - z.mean(0)) / np.sqrt(z.var(0, ddof=correction) + epsilon) for z in (a, b)
    )
    c = a.T @ b / len(a)
    others = c - np.diag(np.diag(c))
    return ((1 - np.diag(c)) ** 2).sum() + weight * (others**2).sum()


def loss(convention="official", weight=None):
    weight = RULES[convention][2] if weight is None else weight

    def loss(a, b):
        terms = kv.barlow_twins_terms(a, b, convention=convention)
        return terms["invariance"] + weight * terms["redundancy"]

    return loss


@pytest.mark.every_backend
@pytest.mark.parametrize("convention", RULES)
@pytest.mark.parametrize("shape", [(16, 8), (8, 16), (12, 20)], ids=str)
def test_values_and_gradients(shape, convention):
    """On both sides of 2 N = D, of which one never forms the matrix."""
    check(
        loss(convention),
        lambda a, b: reference(a, b, convention),
        *views(*shape)[:2],
        golden=GOLDEN.get((convention, shape)),
        norms=NORMS.get((convention, shape)),
    )


@pytest.mark.parametrize("shape", [(256, 2048), (512, 256)], ids=str)
def test_larger_batches(shape):
    z1, z2, *_ = views(*shape)
    value = float(loss()(*float32(z1, z2)))
    assert value == pytest.approx(reference(z1, z2), rel=1e-5)


@pytest.mark.every_backend
def test_collapsed_columns():
    """They become 0: the loss is D, whatever the convention, and its slope finite."""
    a = np.ones((16, 8), "float32")
    for convention in RULES:
        value, gradients = value_and_gradients(loss(convention), a, a)
        assert value == pytest.approx(8.0)
        assert all(np.isfinite(g).all() for g in gradients)


def test_whitened_and_equal_views_are_the_best_case():
    z = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 9)))[0]
    z -= z.mean(0)
    z = np.linalg.svd(z, full_matrices=False)[0][:, :8] * np.sqrt(64)
    value = float(loss()(*float32(z, z)))
    assert value == pytest.approx(8 * (1 - 1 / (1 + 1e-5)) ** 2, abs=1e-8)
    assert float(loss()(*float32(z, -z))) == pytest.approx(4 * 8, rel=1e-4)


def test_equal_columns():
    column = np.random.default_rng(0).standard_normal((16, 1))
    z = np.repeat(column, 8, axis=1)
    assert float(loss("paper", 0.0051)(*float32(z, z))) == pytest.approx(0.2856, 1e-5)


def test_what_it_is_invariant_to():
    z1, z2, *_ = views()
    value = float(loss("paper")(*float32(z1, z2)))
    order = np.random.default_rng(0).permutation(16)
    scale, shift = np.linspace(0.5, 3, 8), np.linspace(-2, 2, 8)
    for a, b in [
        (z1[order], z2[order]),
        (z2, z1),
        (z1 * scale + shift, z2),
        (z1, z2 * scale - shift),
    ]:
        assert float(loss("paper")(*float32(a, b))) == pytest.approx(value, rel=1e-5)


def test_the_gradient_of_a_column_is_orthogonal_to_shift_and_scale():
    z1, z2, *_ = views()
    for convention, tolerance in (("paper", 1e-5), ("official", 1e-3)):  # epsilon
        _, gradients = value_and_gradients(loss(convention), *float32(z1, z2))
        for z, gradient in zip((z1, z2), gradients):
            size = np.abs(gradient).max()
            along = (gradient * (z - z.mean(0))).sum(0)
            assert np.abs(gradient.sum(0)).max() < 1e-5 * size
            assert np.abs(along).max() < tolerance * size


def test_the_rank_bounds_the_redundancy_of_small_batches():
    """N <= D: a large loss is no fault, from lambda (D^2 / (N - 1) - D) on."""
    z, *_ = views(256, 2048)
    least = 0.0051 * (2048**2 / 255 - 2048)
    assert least == pytest.approx(73.4, abs=0.1)
    assert least < float(loss()(*float32(z, z))) < 1.2 * least


@pytest.mark.parametrize("shape", [(6, 16), (16, 6)], ids=str)
def test_batch_of_unknown_size(shape):
    import tensorflow as tf

    spec = tf.TensorSpec([None, shape[1]])
    graph = tf.function(loss(), input_signature=[spec, spec])
    z1, z2 = float32(*views(*shape)[:2])
    assert float(graph(z1, z2)) == pytest.approx(float(loss()(z1, z2)), rel=1e-5)


def test_what_it_is_given_is_checked():
    z = np.zeros((4, 8))
    with pytest.raises(ValueError, match=r"official.*Received: convention='offical'"):
        kv.barlow_twins_terms(z, z, convention="offical")
    with pytest.raises(ValueError, match=r"at least 2 samples.*\(1, 8\)"):
        kv.barlow_twins_terms(z[:1], z[:1])
    with pytest.raises(ValueError, match=r"equal shapes.*\(4, 8\) and \(3, 8\)"):
        kv.barlow_twins_terms(z, z[:3])
