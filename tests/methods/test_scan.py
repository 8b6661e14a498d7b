"""The losses of SCAN against their formulas in NumPy float64."""

import numpy as np
import pytest
from formulas import check, float32, log_softmax
from gradients import value_and_gradients

import keras_vicreg as kv
from keras_vicreg.methods.scan import head_terms, self_labelling_terms


def arrays():
    r = np.random.default_rng(2)
    a = 2 * r.standard_normal((8, 5))
    n = a + r.standard_normal((8, 5))
    heads = r.standard_normal((3, 12, 4)) * np.array([3, 0.5, 1.5])[:, None, None]
    features = r.standard_normal((12, 3))
    weak = 8 * r.standard_normal((16, 4))
    strong = 0.5 * weak + r.standard_normal((16, 4))
    return a, n, heads, features, weak, strong


A, N, HEADS, FEATURES, WEAK, STRONG = arrays()


def softmax(x):
    return np.exp(log_softmax(x))


def reference(a, n, weight=5):
    """Up to a constant the authors' loss, consistency - weight * entropy."""
    p, q = softmax(a), softmax(n)
    consistency = -np.log((p * q).sum(1)).mean()
    shares = p.mean(0)
    entropy = -(shares * np.log(shares)).sum()
    return consistency + weight * (np.log(p.shape[1]) - entropy)


def loss(weight=5):
    def loss(a, n):
        terms = kv.scan_terms(a, n)
        return terms["consistency"] + weight * terms["imbalance"]

    return loss


@pytest.mark.every_backend
def test_values_and_gradients():
    golden = -7.074637081890938 + 5 * np.log(5)
    norms = (0.2232255615622, 0.05547284674187)
    check(loss(), reference, A, N, golden=golden, norms=norms)
    swapped = float(loss()(*float32(N, A))) - 5 * np.log(5)
    assert swapped == pytest.approx(-6.573152095814953, rel=1e-6)
    terms = kv.scan_terms(*float32(A, N))
    assert float(terms["consistency"]) == pytest.approx(0.6694709803766806, rel=1e-6)
    entropy = np.log(5) - float(terms["imbalance"])
    assert entropy == pytest.approx(1.5488216124535237, rel=1e-6)


def test_several_heads_are_a_mean():
    a, n = np.stack([A, 2 * N], axis=1), np.stack([N, A], axis=1)
    value = float(loss()(*float32(a, n)))
    assert value == pytest.approx((reference(A, N) + reference(2 * N, A)) / 2, rel=1e-5)
    apart = head_terms(*float32(a, n))
    assert [len(term.shape) for term in apart.values()] == [1, 1]


def test_one_cluster_an_image_and_none():
    sharp = 60 * np.tile(np.eye(10), (3, 1))
    terms = {k: float(v) for k, v in kv.scan_terms(*float32(sharp, sharp)).items()}
    assert terms == pytest.approx({"consistency": 0, "imbalance": 0}, abs=1e-5)
    uniform = np.zeros((8, 10), "float32")
    value, gradients = value_and_gradients(loss(), uniform, uniform)
    assert value == pytest.approx(np.log(10), rel=1e-5)  # a saddle
    assert max(np.abs(gradient).max() for gradient in gradients) < 1e-6
    one = 60 * np.repeat(np.eye(10)[:1], 8, axis=0)
    terms = {k: float(v) for k, v in kv.scan_terms(*float32(one, one)).items()}
    assert terms == pytest.approx({"consistency": 0, "imbalance": np.log(10)}, abs=1e-5)
    apart = float(kv.scan_terms(*float32(one, np.roll(one, 1, axis=1)))["consistency"])
    assert apart == pytest.approx(60 - np.log(2), rel=1e-4)


def test_clusters_have_no_order():
    order = np.random.default_rng(0).permutation(5)
    value = float(loss()(*float32(A[:, order], N[:, order])))
    assert value == pytest.approx(reference(A, N), rel=1e-5)


def labelled(strong, balanced=True):
    """Cross entropy of the confident images, written out image by image."""
    p = softmax(WEAK)
    confident, labels = p.max(1) > 0.99, p.argmax(1)
    losses = -log_softmax(strong)[np.arange(16), labels]
    if not balanced:
        return losses[confident].mean()
    classes = set(labels[confident])
    return np.mean([losses[confident & (labels == c)].mean() for c in classes])


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("balanced", "golden", "norm"),
    [
        (True, 0.21427686687897238, 0.1833225831562),
        (False, 0.12614354084301005, 0.0939052256316),
    ],
)
def test_self_labelling(balanced, golden, norm):
    def ours(strong):
        terms = self_labelling_terms(*float32(WEAK), strong, balanced=balanced)
        return terms["cross_entropy"]

    check(ours, lambda s: labelled(s, balanced), STRONG, golden=golden, norms=[norm])
    assert float(self_labelling_terms(*float32(WEAK, STRONG))["confident"]) == 0.5


@pytest.mark.every_backend
def test_no_image_is_confident():
    weak = 0.1 * WEAK.astype("float32")
    value, (gradient,) = value_and_gradients(
        lambda s: self_labelling_terms(weak, s)["cross_entropy"], *float32(STRONG)
    )
    assert value == 0
    assert np.abs(gradient).max() == 0


def test_duplicates_of_one_class_do_not_count_when_balanced():
    confident = (softmax(WEAK).max(1) > 0.99) & (WEAK.argmax(1) == 3)
    weak, strong = (np.concatenate([x, x[confident]]) for x in (WEAK, STRONG))
    terms = self_labelling_terms(*float32(weak, strong))
    assert float(terms["cross_entropy"]) == pytest.approx(0.21427686687897238, rel=1e-6)


def test_shapes_are_checked():
    for a, n in [(A, N[:7]), (A[0], N[0]), (A[None, None], N[None, None])]:
        with pytest.raises(ValueError, match=r"equal shapes, \(batch, clusters\)"):
            kv.scan_terms(a, n)
