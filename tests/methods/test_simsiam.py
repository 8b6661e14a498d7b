"""The loss of SimSiam against its formula in NumPy float64."""

import keras
import numpy as np
import pytest
from formulas import check, float32, unit, views
from gradients import value_and_gradients

import keras_vicreg as kv

z1, z2, p1, p2, _ = views()
W = np.random.default_rng(8).standard_normal((8, 8))


def reference(a, b, targets=(z1, z2)):
    sides = [(unit(p) * unit(z)).sum(1).mean() for p, z in zip((a, b), targets[::-1])]
    return -sum(sides) / 2


def loss(targets=(z1, z2), **options):
    def loss(a, b):
        terms = kv.simsiam_terms((a, b), float32(*targets), **options)
        return terms["negative_cosine"]

    return loss


@pytest.mark.every_backend
def test_values_and_gradients():
    check(
        loss(),
        reference,
        p1,
        p2,
        golden=-0.7357855056389471,
        norms=(0.0410911720122, 0.0278687925059),
    )


def predicting(stop_gradient, w=W):
    """A linear predictor: what the gradient of the embeddings is, with and without."""

    def loss(a, b):
        predictions = [keras.ops.matmul(z, w.astype("float32")) for z in (a, b)]
        terms = kv.simsiam_terms(predictions, (a, b), stop_gradient=stop_gradient)
        return terms["negative_cosine"]

    return loss


@pytest.mark.every_backend
def test_a_predictor_with_and_without_stop_gradient():
    golden = -0.0006570388369310717
    check(
        predicting(True),
        # Targets stay as they are while the differences are taken.
        lambda a, b: reference(a @ W, b @ W),
        z1,
        z2,
        golden=golden,
        norms=(0.0643907050573, 0.0564916328925),
    )
    check(
        predicting(False),
        lambda a, b: reference(a @ W, b @ W, (a, b)),
        z1,
        z2,
        golden=golden,
        norms=(0.0832573165226, 0.069991715555),
    )


def test_without_a_predictor_the_gradient_is_half_of_the_one_without_stop():
    identity = np.eye(8)
    with_stop, without = (
        value_and_gradients(predicting(stop, identity), *float32(z1, z2))[1]
        for stop in (True, False)
    )
    for half, whole in zip(with_stop, without):
        np.testing.assert_allclose(2 * half, whole, atol=1e-7)


def test_equal_opposite_and_random_embeddings():
    assert float(loss((p2, p1))(*float32(p1, p2))) == pytest.approx(-1, rel=1e-6)
    assert float(loss((-p2, -p1))(*float32(p1, p2))) == pytest.approx(1, rel=1e-6)
    noise = float32(*np.random.default_rng(0).standard_normal((4, 256, 128)))
    assert float(loss(noise[2:])(*noise[:2])) == pytest.approx(0, abs=0.03)


def test_what_it_is_invariant_to():
    golden = -0.7357855056389471
    order = np.random.default_rng(0).permutation(16)
    ordered = loss((z1[order], z2[order]))
    assert float(ordered(*float32(p1[order], p2[order]))) == pytest.approx(golden)
    assert float(loss((z2, z1))(*float32(p2, p1))) == pytest.approx(golden)
    assert float(loss()(*float32(9 * p1, 0.1 * p2))) == pytest.approx(golden, rel=1e-6)
