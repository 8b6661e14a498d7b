"""The losses of SCAN against their formulas in NumPy float64."""

import keras
import numpy as np
import pytest
import toys
from formulas import check, float32, log_softmax
from gradients import value_and_gradients

import keras_vicreg as kv
from keras_vicreg.data.neighbour_batches import NeighbourBatches
from keras_vicreg.methods.scan import head_scores, head_terms
from keras_vicreg.methods.self_labelling import self_labelling_terms


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


# Neighbours ------------------------------------------------------------------------


def test_neighbours_are_those_of_every_pair_compared():
    assert kv.mine_neighbours(FEATURES, 3)[:3].tolist() == [
        [11, 8, 9],
        [4, 8, 2],
        [6, 8, 1],
    ]
    r = np.random.default_rng(0)
    features = r.standard_normal((300, 8)).astype("float32")
    features[100:130] = features[0]  # more equal images than neighbours
    features[130:150] = 0
    unit = features.astype("float64")
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-300)
    similarities = np.round(unit @ unit.T, 12)
    np.fill_diagonal(similarities, -np.inf)
    expected = np.argsort(-similarities, axis=1, kind="stable")[:, :20]
    found = kv.mine_neighbours(features)
    np.testing.assert_array_equal(found, expected)
    assert not (found == np.arange(300)[:, None]).any()


@pytest.mark.parametrize(
    ("features", "k", "words"),
    [
        (np.ones((5, 2)), 5, r"`k` must be .* Received: k=5 for 4 images"),
        (np.ones((5, 2)), 0, "`k` must be"),
        (np.ones(5), 1, r"must be finite vectors.*\(5,\)$"),
        (np.full((5, 2), np.nan), 1, r"\(5, 2\), not finite$"),
    ],
)
def test_what_has_no_neighbours(features, k, words):
    with pytest.raises(ValueError, match=words):
        kv.mine_neighbours(features, k)


def test_batches_draw_every_neighbour_and_the_image_itself():
    images = np.arange(64, dtype="uint8").repeat(12).reshape(64, 2, 2, 3)
    table = np.stack([np.roll(np.arange(64), shift) for shift in (1, 2, 3)], axis=1)
    batches = NeighbourBatches(images, table, 16, seed=3)
    seen = np.zeros(4)
    for epoch in range(40):
        batches.start_at(epoch)
        pairs = [batches[index][0] for index in range(len(batches))]
        a, b = (np.concatenate(part)[:, 0, 0, 0].astype(int) for part in zip(*pairs))
        assert sorted(a) == list(range(64))
        seen += np.bincount((a - b) % 64, minlength=4)
    assert seen.sum() == 40 * 64
    assert (np.abs(seen - 640) < 100).all()
    again = NeighbourBatches(images, table, 16, seed=3)
    again.start_at(39)  # as a run that goes on
    np.testing.assert_array_equal(again[2][0][1], pairs[2][1])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.zeros((63, 2), int), r"\(63, 2\) for 64 images"),
        (np.zeros((64, 0), int), r"\(64, 0\) for 64 images"),
        (np.zeros((64, 2)), "float64 of shape"),
        (np.full((64, 2), 64), "64 to 64 for 64 images"),
        (np.full((64, 2), -1), "-1 to -1"),
    ],
)
def test_tables_that_are_none(table, words):
    with pytest.raises(ValueError, match=f"`neighbours` must be .*{words}"):
        NeighbourBatches(toys.images(64), table, 16)


# Heads -----------------------------------------------------------------------------


def test_the_head_is_chosen_by_the_authors_measure():
    neighbours = kv.mine_neighbours(FEATURES, 3)
    scores = head_scores(HEADS.transpose(1, 0, 2), neighbours)
    golden = [0.6127983687800118, -0.022284097257732727, 0.11093433263456776]
    np.testing.assert_allclose(scores, golden, rtol=1e-12)


def clusters_of_colours(count=240):
    """Images of four colours with a little noise, `(images, colour of each)`."""
    r = np.random.default_rng(0)
    colours = np.array([[230, 20, 20], [20, 230, 20], [20, 20, 230], [200, 200, 200]])
    labels = np.arange(count) % 4
    noise = r.integers(-20, 21, (count, 8, 8, 3))
    images = (colours[labels][:, None, None] + noise).clip(0, 255)
    return images.astype("uint8"), labels


@pytest.fixture(scope="module")
def clustered():
    """A SCAN of an untrained encoder whose heads were trained on colours."""
    keras.utils.set_random_seed(0)
    images, labels = clusters_of_colours()
    encoder = toys.encoder(features=12, batch_norm=False)
    encoder.trainable = False
    model = kv.SCAN(encoder, 4, num_heads=3)
    model.compile(keras.optimizers.Adam(0.03))
    table = kv.mine_neighbours(kv.embed(encoder, images), 5)
    history = model.fit(images, None, 60, neighbours=table, epochs=30, verbose=0)
    return model, images, labels, table, history.history


@pytest.mark.every_backend
def test_clusters_are_found_without_labels(clustered):
    model, images, labels, table, history = clustered
    clusters, probabilities = model.predict_clusters(images)
    assert probabilities.shape == (240, 4)
    np.testing.assert_array_equal(probabilities.argmax(1), clusters)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    scores = head_scores(model.head_logits(images), table)
    assert int(model.best_head) == scores.argmin()
    assert history["consistency"][-1] < 0.1
    assert history["imbalance"][-1] < 0.05
    agreement = np.zeros((4, 4), int)
    np.add.at(agreement, (clusters, labels), 1)
    assert (agreement.max(axis=1) == 60).all()
    # With the image as its own neighbour the loss is that of the formula.
    logits = model.head_logits(images)
    terms = model.evaluate(
        (images, images), batch_size=240, verbose=0, return_dict=True
    )
    expected = kv.scan_terms(*float32(logits, logits))
    for name, value in expected.items():
        assert terms[name] == pytest.approx(float(value), rel=1e-4, abs=1e-5)


def test_the_best_head_is_saved(clustered, tmp_path):
    model, images, *_ = clustered
    model.best_head.assign(2)
    model.save(tmp_path / "scan.keras")
    again = keras.models.load_model(tmp_path / "scan.keras")
    assert int(again.best_head) == 2
    found = [each.predict_clusters(images)[1] for each in (model, again)]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_views_are_of_the_image_and_of_its_neighbour():
    model = toys.method("scan", toys.ShiftedViews())
    a, b = toys.images(8), toys.images(8, seed=1)
    ((x, y),) = model.to_views(((a, b),))
    views = [model.views(each) for each in (a, b)]
    np.testing.assert_array_equal(x, views[0][0])
    np.testing.assert_array_equal(y, views[1][1])
    ((x, y),) = model.to_views(a)
    np.testing.assert_array_equal(y, views[0][1])


@pytest.mark.every_backend
def test_self_labelling_sharpens_what_scan_has_found(clustered):
    model, images, *_ = clustered
    _, before = model.predict_clusters(images)
    threshold = float(np.median(before.max(1)))
    if threshold == before.max():
        threshold -= 1e-3
    labelling, history = kv.self_label(
        model, images, threshold=threshold, epochs=3, batch_size=80, verbose=0
    )
    clusters, after = labelling.predict_clusters(images)
    assert after.shape == before.shape
    assert (clusters == before.argmax(1)).mean() > 0.9
    assert 0 < history.history["confident"][0] <= 1
    assert np.isfinite(history.history["loss"]).all()
    model.encoder.trainable = False


def test_self_labelling_begins_with_the_best_head(clustered):
    model, images, *_ = clustered
    model.best_head.assign(1)
    logits = model.head_logits(images)[:, 1:2]
    with pytest.warns(UserWarning, match="are in a cluster with a probability above"):
        labelling, _ = kv.self_label(
            model,
            images,
            threshold=1 - 1e-9,
            epochs=1,
            batch_size=120,
            learning_rate=0.0,
            verbose=0,
        )
    np.testing.assert_allclose(labelling.head_logits(images), logits, rtol=1e-4)
    model.encoder.trainable = False
    with pytest.raises(ValueError, match="`threshold` must be a number from 0 to"):
        kv.self_label(model, images, threshold=1.5)
