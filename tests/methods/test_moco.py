"""The loss of MoCo against its formula in NumPy float64."""

import numpy as np
import pytest
from formulas import check, float32, logsumexp, unit, views
from gradients import value_and_gradients

import keras_vicreg as kv

z1, z2, p1, p2, queue = views()
TWO = np.stack([queue[:16], queue[16:]])


def side(query, key, negatives, temperature):
    query, key, negatives = unit(query), unit(key), unit(negatives)
    positive = (query * key).sum(1, keepdims=True)
    logits = np.concatenate([positive, query @ negatives.T], axis=1) / temperature
    return (logsumexp(logits) - logits[:, 0]).mean()


def reference(a, b, queues=(queue, queue), sides=(0.5, 0.5), temperature=0.2):
    first = side(a, p2, queues[1], temperature)
    second = side(b, p1, queues[0], temperature)
    return sides[0] * first + sides[1] * second


def loss(queues=queue, keys=(p1, p2), **options):
    def loss(a, b):
        given = float32(*keys), float32(queues)[0]
        return kv.moco_terms((a, b), *given, **options)["contrastive"]

    return loss


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("queues", "convention", "sides", "golden", "norms"),
    [
        (
            queue,
            "v2+",
            (0.5, 0.5),
            1.5981901425683722,
            (0.191977401449, 0.181492084996),
        ),
        (TWO, "v2+", (0.5, 0.5), 1.1190248953645812, None),
        (queue, "notebook", (1, 1), 2 * 1.5981901425683722, None),
        (queue, "v2", (1, 0), 1.465033572288581, None),
        (queue[None], "v2", (1, 0), 1.465033572288581, None),
    ],
    ids=["one queue", "two queues", "notebook", "v2", "v2, queue of rank 3"],
)
def test_values_and_gradients(queues, convention, sides, golden, norms):
    apart = TWO if queues is TWO else (queue, queue)
    ours = loss(queues, convention=convention)
    if convention == "v2":  # the second view asks nothing
        check(
            lambda a: ours(a, float32(z2)[0]),
            lambda a: reference(a, z2, apart, sides),
            z1,
            golden=golden,
        )
        return
    check(
        ours,
        lambda a, b: reference(a, b, apart, sides),
        z1,
        z2,
        golden=golden,
        norms=norms,
    )


def test_each_view_meets_the_queue_of_the_other():
    swapped = loss(TWO[::-1].copy(), keys=(p2, p1))
    value = float(swapped(*float32(z2, z1)))
    assert value == pytest.approx(1.1190248953645812, rel=1e-6)
    assert float(loss(TWO[::-1].copy())(*float32(z1, z2))) != pytest.approx(value, 1e-3)


@pytest.mark.every_backend
def test_no_gradient_reaches_keys_unless_it_is_asked_for():
    def of_keys(stop_gradient):
        def loss(query, key):
            terms = kv.moco_terms(
                (query, query), (key, key), TWO, stop_gradient=stop_gradient
            )
            return terms["contrastive"] + 0.0 * key[0, 0]  # torch wants a path

        return value_and_gradients(loss, *float32(z1, p2))[1][1]

    assert np.abs(of_keys(True)).max() == 0
    assert np.abs(of_keys(False)).max() > 1e-3


def test_collapsed_and_best_embeddings():
    same = np.ones((8, 8), "float32")
    value, gradients = value_and_gradients(
        loss(np.ones((32, 8)), keys=(same, same)), same, same
    )
    assert value == pytest.approx(3.4965076, rel=1e-6)  # log(K + 1)
    assert all(np.isfinite(g).all() for g in gradients)
    basis = np.eye(16, dtype="float32")
    best = loss(basis[8:], keys=(basis[:8], basis[:8]))
    assert float(best(basis[:8], basis[:8])) == pytest.approx(0.0525010, rel=1e-5)
    r = np.random.default_rng(0)
    noise = r.standard_normal((4, 256, 128))
    random = loss(r.standard_normal((4096, 128)), keys=noise[2:])
    assert float(random(*float32(*noise[:2]))) == pytest.approx(8.41, abs=0.05)


def test_what_it_is_invariant_to():
    order = np.random.default_rng(0).permutation(16)
    golden = 1.5981901425683722
    ordered = loss(queue[::-1].copy(), keys=(p1[order], p2[order]))
    assert float(ordered(*float32(z1[order], z2[order]))) == pytest.approx(golden, 1e-6)
    assert float(loss()(*float32(3 * z1, 0.1 * z2))) == pytest.approx(golden, 1e-5)
    _, gradients = value_and_gradients(loss(), *float32(z1, z2))
    for z, gradient in zip((z1, z2), gradients):
        assert np.abs((gradient * z).sum(1)).max() < 1e-5 * np.abs(gradient).max()


def test_what_it_is_given_is_checked():
    pair = (z1, z2)
    with pytest.raises(ValueError, match="Received: convention='v1'"):
        kv.moco_terms(pair, pair, queue, convention="v1")
    with pytest.raises(ValueError, match=r"`queues` must have .*\(1, 32, 7\)"):
        kv.moco_terms(pair, pair, queue[:, :7])
    with pytest.raises(ValueError, match=r"`queues` must have .*\(3, 16, 8\)"):
        kv.moco_terms(pair, pair, np.zeros((3, 16, 8)))
    with pytest.raises(ValueError, match="Received: 1 of them"):
        kv.moco_terms(pair, pair[:1], queue)
    with pytest.raises(ValueError, match="temperature=0"):
        kv.moco_terms(pair, pair, queue, temperature=0)
