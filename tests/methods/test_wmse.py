"""The loss of W-MSE against its formula in NumPy float64."""

import itertools

import keras
import numpy as np
import pytest
from formulas import check, float32, unit
from gradients import value_and_gradients

import keras_vicreg as kv
from keras_vicreg.methods.wmse import whitened


def arrays():
    r = np.random.default_rng(1)
    base = r.standard_normal((16, 4)) @ r.standard_normal((4, 4))
    v = base + 0.3 * r.standard_normal((4, 16, 4))
    return v, [r.permutation(16), r.permutation(16)]


V, ORDERS = arrays()


def whiten(x, epsilon):
    centred = x - x.mean(0)
    covariance = centred.T @ centred / (len(x) - 1)
    covariance = (1 - epsilon) * covariance + epsilon * np.eye(x.shape[1])
    return centred @ np.linalg.inv(np.linalg.cholesky(covariance)).T


def reference(*views, size=16, orders=None, epsilon=0.0, euclidean=False):
    orders = [np.arange(16)] if orders is None else orders
    losses = []
    for order in orders:
        white = [
            np.concatenate([whiten(s, epsilon) for s in np.split(v[order], 16 // size)])
            for v in views
        ]
        for a, b in itertools.combinations(white, 2):
            a, b = (a, b) if euclidean else (unit(a), unit(b))
            squares = (a - b) ** 2
            losses.append(squares.mean() if euclidean else squares.sum(1).mean())
    return np.mean(losses)


def loss(**options):
    return lambda *views: kv.wmse_terms(views, **options)["distance"]


CASES = {
    "one slice": (2, {}, 0.5228466252675186, 0.4744178812646),
    "two slices": (2, {"size": 8, "orders": 1}, 0.394065946012945, 0.5565612336079),
    "two orders": (2, {"size": 8, "orders": 2}, 0.4288005942060341, 0.4571808373654),
    "four views": (4, {"size": 8, "orders": 1}, 0.3423505333807647, 0.2922902662551),
    "epsilon": (
        2,
        {"size": 8, "orders": 1, "epsilon": 1e-3},
        0.3934159829946022,
        0.5556823666757,
    ),
    "euclidean": (
        2,
        {"size": 8, "orders": 1, "euclidean": True},
        0.2610452834344688,
        0.4049042364188,
    ),
}


@pytest.mark.every_backend
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case):
    views, rule, golden, norm = CASES[case]
    orders = ORDERS[: rule["orders"]] if "orders" in rule else None
    ours = loss(
        slice_size=rule.get("size"),
        permutations=orders,
        epsilon=rule.get("epsilon", 0.0),
        convention="euclidean" if "euclidean" in rule else "official",
    )
    # Slices of 8 in 4 dimensions: their covariances are ill-conditioned.
    check(
        ours,
        lambda *v: reference(*v, **{**rule, "orders": orders}),
        *V[:views],
        golden=golden,
        tolerance=2e-5,
    )
    _, gradients = value_and_gradients(ours, *float32(*V[:views]))
    assert np.linalg.norm(gradients) == pytest.approx(norm, rel=2e-5)


def test_the_gradient_reaches_both_views():
    """An implementation that detaches one has the same value."""
    ours = loss(slice_size=8, permutations=ORDERS[:1])
    _, gradients = value_and_gradients(ours, *float32(*V[:2]))
    norms = [np.linalg.norm(gradient) for gradient in gradients]
    assert norms == pytest.approx([0.3230, 0.4532], abs=1e-4)


@pytest.mark.parametrize("epsilon", [0.0, 1e-3])
def test_whitened_slices(epsilon):
    z = keras.ops.convert_to_numpy(whitened(float32(V[0])[0], 8, epsilon))
    for part, original in zip(np.split(z, 2), np.split(V[0], 2)):
        np.testing.assert_allclose(part, whiten(original, epsilon), atol=1e-4)
        if not epsilon:
            np.testing.assert_allclose(np.cov(part.T), np.eye(4), atol=1e-4)
            np.testing.assert_allclose(part.mean(0), 0, atol=1e-5)
    whole = keras.ops.convert_to_numpy(whitened(float32(V[0])[0], 16))
    np.testing.assert_allclose(
        whole[0],
        [-0.567969137415, 1.259967424835, 0.588373602547, -0.600189349222],
        1e-4,
    )
    assert (whole**2).sum(1).mean() == pytest.approx(3.75, rel=1e-5)


def test_what_it_is_invariant_to():
    """Any affine map of a view with a lower triangle of positive diagonal."""
    golden = 0.5228466252675186
    r = np.random.default_rng(0)
    lower = np.tril(0.3 * r.standard_normal((4, 4)), -1) + np.diag([1, 2, 0.5, 3])
    order = r.permutation(16)
    for a, b in [
        (V[0] @ lower.T + 1, V[1]),
        (V[0], 5 * V[1] - 2),
        (V[1], V[0]),
        (V[0][order], V[1][order]),
    ]:
        assert float(loss()(*float32(a, b))) == pytest.approx(golden, rel=1e-5)
    rotated = V[0][:, [1, 0, 2, 3]]  # not a rotation, as ZCA would be
    assert float(loss()(*float32(rotated, V[1]))) != pytest.approx(golden, rel=1e-3)


def test_equal_and_independent_views():
    assert float(loss()(*float32(V[0], V[0]))) == pytest.approx(0, abs=1e-5)
    noise = float32(*np.random.default_rng(0).standard_normal((2, 512, 64)))
    assert float(loss(slice_size=128)(*noise)) == pytest.approx(1.975, abs=0.05)


def test_the_gradient_of_a_slice_is_orthogonal_to_shift_and_scale():
    _, gradients = value_and_gradients(loss(slice_size=8), *float32(*V[:2]))
    for view, gradient in zip(V, gradients):
        for part, slope in zip(np.split(view, 2), np.split(gradient, 2)):
            size = np.abs(slope).max()
            assert np.abs(slope.sum(0)).max() < 2e-5 * size
            assert abs((slope * (part - part.mean(0))).sum()) < 1e-4 * size


@pytest.mark.every_backend
def test_collapsed_embeddings_are_finite_with_an_epsilon():
    """The loss is that of independent views, and nothing pulls them apart."""
    same = np.ones((16, 4), "float32")
    value, gradients = value_and_gradients(loss(epsilon=1e-3), same, same)
    assert value == pytest.approx(2.0)
    assert all(np.isfinite(g).all() for g in gradients)


def test_slices_are_checked():
    for size, message in [
        (4, "at least twice the features"),
        (7, "at least twice the features"),
        (8.0, "must be an integer"),
        (9, r"must be a divisor of the batch size\. Received: slice_size=9"),
    ]:
        with pytest.raises(ValueError, match=message):
            kv.wmse_terms(V[:2], slice_size=size)
    with pytest.raises(ValueError, match=r"at least two\. Received: 1"):
        kv.wmse_terms(V[:1])
    with pytest.raises(ValueError, match="Received: convention='zca'"):
        kv.wmse_terms(V[:2], convention="zca")
