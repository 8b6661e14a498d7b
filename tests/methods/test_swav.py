"""The loss of SwAV against the authors' algorithm in NumPy float64."""

import keras
import numpy as np
import pytest
from formulas import check, float32, log_softmax, unit
from gradients import value_and_gradients

import keras_vicreg as kv
from keras_vicreg.methods.swav import sinkhorn


def arrays():
    r = np.random.default_rng(0)
    base = r.standard_normal((8, 16))
    z = base + 0.5 * r.standard_normal((4, 8, 16))
    c = unit(r.standard_normal((6, 16)))
    return z, c, unit(r.standard_normal((2, 12, 16)))


Z, C, QUEUE = arrays()


def assignments(scores, iterations=3, epsilon=0.05):
    """The authors' order of divisions, not in the log domain."""
    q = np.exp(scores / epsilon).T
    prototypes, samples = q.shape
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True)
        q /= prototypes
        q /= q.sum(axis=0, keepdims=True)
        q /= samples
    return (q * samples).T


CODES = [assignments(unit(z) @ C.T) for z in Z[:2]]
QUEUED = [
    assignments(np.concatenate([q @ C.T, unit(z) @ C.T]))[12:] for q, z in zip(QUEUE, Z)
]


def reference(*arrays, codes=CODES, total=False):
    *crops, prototypes = arrays
    logs = [log_softmax(unit(z) @ prototypes.T / 0.1) for z in crops]
    losses = [
        -(codes[i] * logs[v]).sum(1).mean()
        for i in range(2)
        for v in range(len(crops))
        if v != i
    ]
    return sum(losses) if total else np.mean(losses)


def loss(**options):
    def loss(*tensors):
        *crops, prototypes = tensors
        return kv.swav_terms(crops, prototypes, **options)["swapped_prediction"]

    return loss


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("crops", "queue", "golden", "norm", "of_prototypes"),
    [
        (2, None, 2.097940081318858, 0.5164608634892, 1.4439241339460),
        (4, None, 1.850732581323689, 0.3222194712230, 1.5726788756139),
        (4, QUEUE, 1.650657898871209, 0.3081175902455, 1.4498350476006),
        (4, 0 * QUEUE, 1.850732581323689, 0.3222194712230, 1.5726788756139),
    ],
    ids=["two crops", "four crops", "queue", "queue not full"],
)
def test_values_and_gradients(crops, queue, golden, norm, of_prototypes):
    queues = None if queue is None else queue.astype("float32")
    codes = QUEUED if queue is QUEUE else CODES
    ours = loss(queues=queues)
    check(ours, lambda *a: reference(*a, codes=codes), *Z[:crops], C, golden=golden)
    _, gradients = value_and_gradients(ours, *float32(*Z[:crops], C))
    assert np.linalg.norm(gradients[:-1]) == pytest.approx(norm, rel=1e-5)
    assert np.linalg.norm(gradients[-1]) == pytest.approx(of_prototypes, rel=1e-5)


@pytest.mark.every_backend
def test_the_paper_has_a_sum_over_pairs():
    check(
        loss(convention="paper"),
        lambda *a: reference(*a, total=True),
        *Z[:2],
        C,
        golden=2 * 2.097940081318858,
    )
    value = float(loss(convention="paper")(*float32(*Z, C)))
    assert value == pytest.approx(6 * 1.850732581323689, rel=1e-6)


@pytest.mark.every_backend
def test_assignments():
    scores = (unit(Z[0]) @ C.T).astype("float32")
    code = keras.ops.convert_to_numpy(sinkhorn(scores))
    np.testing.assert_allclose(code, CODES[0], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(
        code.sum(0),
        [
            1.188730285,
            2.0275895519,
            1.0609229555,
            1.1588942315,
            1.2348767559,
            1.3289862,
        ],
        rtol=1e-5,
    )
    np.testing.assert_allclose(code.sum(1), 1, atol=1e-6)
    converged = keras.ops.convert_to_numpy(sinkhorn(scores, iterations=100))
    np.testing.assert_allclose(converged.sum(0), 8 / 6, rtol=1e-6)
    np.testing.assert_allclose(converged.sum(1), 1, atol=1e-6)


def test_assignments_of_many_prototypes():
    r = np.random.default_rng(0)
    scores = (
        unit(r.standard_normal((256, 128))) @ unit(r.standard_normal((3000, 128))).T
    )
    code = keras.ops.convert_to_numpy(sinkhorn(scores.astype("float32")))
    np.testing.assert_allclose(code.sum(0), 256 / 3000, rtol=1e-2)


@pytest.mark.parametrize("epsilon", [0.005, 0.01, 0.05])
def test_assignments_overflow_nowhere(epsilon):
    scores = unit(Z[0]) @ C.T
    code = keras.ops.convert_to_numpy(sinkhorn(scores.astype("float32"), epsilon))
    if epsilon > 0.005:
        expected = assignments(scores, epsilon=epsilon)
        np.testing.assert_allclose(code, expected, atol=1e-5)
    np.testing.assert_allclose(code.sum(1), 1, atol=1e-6)


def test_assignments_do_not_ask_for_constants():
    scores = (unit(Z[0]) @ C.T).astype("float32")
    code = keras.ops.convert_to_numpy(sinkhorn(scores))
    of_one = scores + np.float32([0, 0.3, 0, 0, 0, 0])
    for moved in (scores + 0.7, of_one):
        np.testing.assert_allclose(sinkhorn(moved), code, atol=1e-5)
    scores[0] += 0.3  # of one image: not after three iterations
    assert np.abs(keras.ops.convert_to_numpy(sinkhorn(scores)) - code).max() > 0.1


def test_collapsed_and_random_embeddings():
    same = np.ones((8, 16))
    assert float(loss()(*float32(same, same, C))) >= np.log(6)
    equal = unit(np.ones((6, 16)))
    value = float(loss()(*float32(same, same, equal)))
    assert value == pytest.approx(1.791759469228, rel=1e-6)
    r = np.random.default_rng(0)
    for prototypes, expected in ((3000, 8.387), (300, 6.105)):
        a, b = r.standard_normal((2, 256, 128))
        c = unit(r.standard_normal((prototypes, 128)))
        assert float(loss()(*float32(a, b, c))) == pytest.approx(expected, abs=0.05)


def test_what_it_is_invariant_to():
    golden = 1.850732581323689
    r = np.random.default_rng(0)
    images, prototypes = r.permutation(8), r.permutation(6)
    for z, c in [
        (Z[:, images], C),
        (Z, C[prototypes]),
        (7 * Z, C),
        (Z[[1, 0, 3, 2]], C),
    ]:
        assert float(loss()(*float32(*z, c))) == pytest.approx(golden, rel=1e-6)
    _, gradients = value_and_gradients(loss(), *float32(*Z, C))
    for z, gradient in zip(Z, gradients[:-1]):
        assert np.abs((gradient * z).sum(1)).max() < 1e-5 * np.abs(gradient).max()


def test_what_it_is_given_is_checked():
    with pytest.raises(ValueError, match="Received: convention='sum'"):
        kv.swav_terms(Z[:2], C, convention="sum")
    with pytest.raises(ValueError, match="`epsilon` must be a number greater than 0"):
        kv.swav_terms(Z[:2], C, epsilon=0)
    with pytest.raises(ValueError, match=r"at least two\. Received: 1"):
        kv.swav_terms(Z[:1], C)
