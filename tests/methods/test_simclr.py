"""The loss of SimCLR against its formula in NumPy float64."""

import numpy as np
import pytest
from formulas import check, float32, logsumexp, unit, views
from gradients import value_and_gradients

import keras_vicreg as kv

GOLDEN = {
    0.5: (2.117054805825466, (0.128538681653, 0.11473846872)),
    0.2: (1.0215928234074543, (0.269870595763, 0.23029172654)),
    0.1: (0.4455745595828868, (0.434845662006, 0.357813458248)),
}


def reference(a, b, temperature):
    z = unit(np.concatenate([a, b]))
    similarity = z @ z.T / temperature
    anchors = np.arange(len(z))
    pair = (anchors + len(a)) % len(z)
    positives = similarity[anchors, pair]
    np.fill_diagonal(similarity, -np.inf)
    return (logsumexp(similarity) - positives).mean()


def loss(temperature, **options):
    def loss(a, b):
        terms = kv.simclr_terms(a, b, temperature=temperature, **options)
        return terms["contrastive"]

    return loss


@pytest.mark.every_backend
@pytest.mark.parametrize("temperature", GOLDEN)
def test_values_and_gradients(temperature):
    golden, norms = GOLDEN[temperature]
    check(
        loss(temperature),
        lambda a, b: reference(a, b, temperature),
        *views()[:2],
        golden=golden,
        norms=norms,
    )


def test_the_authors_code_has_twice_the_paper_s():
    z1, z2, *_ = views()
    check(
        loss(0.5, convention="official"),
        lambda a, b: 2 * reference(a, b, 0.5),
        z1,
        z2,
        golden=2 * GOLDEN[0.5][0],
    )


@pytest.mark.every_backend
def test_collapsed_embeddings():
    ones, zeros = np.ones((16, 8), "float32"), np.zeros((16, 8), "float32")
    for same in (ones, zeros):
        value, gradients = value_and_gradients(loss(0.1), same, same)
        assert value == pytest.approx(3.4339872, rel=1e-6)
        assert all(np.isfinite(g).all() for g in gradients)


def test_best_and_random_embeddings():
    basis = np.eye(8, dtype="float32")
    assert float(loss(0.5)(basis, basis)) == pytest.approx(1.0628794, rel=1e-6)
    assert float(loss(0.1)(basis, basis)) == pytest.approx(0.000635397, rel=1e-5)
    noise = float32(*np.random.default_rng(0).standard_normal((2, 256, 128)))
    assert float(loss(0.5)(*noise)) == pytest.approx(6.28, abs=0.03)


def test_what_it_is_invariant_to():
    z1, z2, *_ = views()
    order = np.random.default_rng(0).permutation(16)
    lengths = np.linspace(0.01, 100, 16)[:, None]
    for a, b in [(z1[order], z2[order]), (z2, z1), (z1 * lengths, z2)]:
        value = float(loss(0.2)(*float32(a, b)))
        assert value == pytest.approx(GOLDEN[0.2][0], rel=1e-5)


def test_the_gradient_of_a_row_is_orthogonal_to_it():
    z1, z2, *_ = views()
    _, gradients = value_and_gradients(loss(0.1), *float32(z1, z2))
    for z, gradient in zip((z1, z2), gradients):
        along = np.abs((gradient * z).sum(1)).max()
        assert along < 1e-5 * np.abs(gradient).max()


def test_float16_embeddings_do_not_overflow():
    z1, z2, *_ = views()
    value = loss(0.01)(z1.astype("float16"), z2.astype("float16"))
    assert float(value) == pytest.approx(reference(z1, z2, 0.01), rel=0.05)


def test_batch_of_unknown_size():
    import tensorflow as tf

    spec = tf.TensorSpec([None, 8])
    graph = tf.function(loss(0.2), input_signature=[spec, spec])
    assert float(graph(*float32(*views()[:2]))) == pytest.approx(GOLDEN[0.2][0], 1e-5)


@pytest.mark.parametrize("temperature", [0, -0.1, "0.1", None, True, float("nan")])
def test_the_temperature_is_checked(temperature):
    with pytest.raises(ValueError, match="`temperature` must be a number greater"):
        loss(temperature)(*views()[:2])


def test_what_it_is_given_is_checked():
    z = np.zeros((4, 8))
    with pytest.raises(ValueError, match="Received: convention='google'"):
        kv.simclr_terms(z, z, convention="google")
    with pytest.raises(ValueError, match=r"equal shapes.*\(4, 8\) and \(4, 7\)"):
        kv.simclr_terms(z, z[:, :7])
