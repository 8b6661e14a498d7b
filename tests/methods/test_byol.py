"""The loss of BYOL against its formula in NumPy float64."""

import numpy as np
import pytest
from formulas import check, float32, unit, views
from gradients import value_and_gradients

import keras_vicreg as kv

z1, z2, p1, p2, _ = views()
# of the two directions added: (factor of the squared distance, what is taken away)
RULES = {"official": (1.0, 0.0), "bolts": (1.0, 4.0), "lightly": (0.25, 1.0)}
GOLDEN = 1.0568579774442115


def reference(a, b, convention="official"):
    factor, constant = RULES[convention]
    distances = [
        ((unit(p) - unit(z)) ** 2).sum(1).mean() for p, z in ((a, z2), (b, z1))
    ]
    return factor * sum(distances) - constant


def loss(targets=(z1, z2), **options):
    def loss(a, b):
        return kv.byol_terms((a, b), float32(*targets), **options)["distance"]

    return loss


@pytest.mark.every_backend
@pytest.mark.parametrize("convention", RULES)
def test_values_and_gradients(convention):
    official = convention == "official"
    check(
        loss(convention=convention),
        lambda a, b: reference(a, b, convention),
        p1,
        p2,
        golden=GOLDEN if official else None,
        norms=(0.164364688049, 0.111475170024) if official else None,
    )


def test_it_is_four_and_four_times_simsiam_s():
    pairs = float32(p1, p2), float32(z1, z2)
    simsiam = float(kv.simsiam_terms(*pairs)["negative_cosine"])
    assert float(kv.byol_terms(*pairs)["distance"]) == pytest.approx(4 + 4 * simsiam)


def test_no_gradient_reaches_targets_unless_it_is_asked_for():
    def of_targets(stop_gradient):
        def loss(p, z):
            terms = kv.byol_terms((p, p), (z, z), stop_gradient=stop_gradient)
            return terms["distance"] + 0.0 * z[0, 0]  # torch wants a path

        return value_and_gradients(loss, *float32(p1, z2))[1][1]

    assert np.abs(of_targets(True)).max() == 0
    assert np.abs(of_targets(False)).max() > 1e-3


def test_equal_opposite_and_random_embeddings():
    assert float(loss((p2, p1))(*float32(p1, p2))) == pytest.approx(0, abs=1e-6)
    assert float(loss((-p2, -p1))(*float32(p1, p2))) == pytest.approx(8, rel=1e-6)
    noise = float32(*np.random.default_rng(0).standard_normal((4, 256, 128)))
    assert float(loss(noise[2:])(*noise[:2])) == pytest.approx(4, abs=0.1)
    zeros = np.zeros((4, 8), "float32")
    _, gradients = value_and_gradients(loss((zeros, zeros)), zeros, zeros)
    assert all(np.isfinite(g).all() for g in gradients)


def test_what_it_is_invariant_to():
    order = np.random.default_rng(0).permutation(16)
    ordered = loss((z1[order], z2[order]))
    assert float(ordered(*float32(p1[order], p2[order]))) == pytest.approx(GOLDEN)
    assert float(loss((z2, z1))(*float32(p2, p1))) == pytest.approx(GOLDEN)
    assert float(loss()(*float32(9 * p1, 0.1 * p2))) == pytest.approx(GOLDEN, rel=1e-6)
    _, gradients = value_and_gradients(loss(), *float32(p1, p2))
    for p, gradient in zip((p1, p2), gradients):
        assert np.abs((gradient * p).sum(1)).max() < 1e-5 * np.abs(gradient).max()


def test_what_it_is_given_is_checked():
    with pytest.raises(ValueError, match="Received: convention='paper'"):
        kv.byol_terms((p1, p2), (z1, z2), convention="paper")
    with pytest.raises(ValueError, match=r"two views\. Received: 3 of them"):
        kv.byol_terms((p1, p2, p1), (z1, z2))
    with pytest.raises(ValueError, match=r"equal shapes.*\(15, 8\)"):
        kv.byol_terms((p1, p2), (z1, z2[1:]))
