"""The linear probe: scikit-learn's optimum, the authors' SGD, and no leak from test."""

import importlib

import keras
import numpy as np
import pytest
import toys
from sklearn.linear_model import LogisticRegression

import keras_vicreg as kv
from keras_vicreg.evaluation import classifier as classifiers
from keras_vicreg.evaluation.classifier import build_classifier, train_classifier
from keras_vicreg.evaluation.sgd import cosine_by_epoch

# The package has the function of this name.
probes = importlib.import_module("keras_vicreg.evaluation.linear_probe")


def clusters(count, features, seed, noise=2.5):
    """Ten classes that overlap, features of different scales and shifted."""
    centres = np.random.default_rng(99).standard_normal((10, features))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    x = centres[labels] + noise * rng.standard_normal((count, features))
    scales = np.geomspace(0.01, 100, features)
    return (x * scales + 3 * scales).astype("float32"), labels


def standardised(train, test):
    mean, deviation = np.float64(train).mean(axis=0), np.float64(train).std(axis=0)
    return (train - mean) / deviation, (test - mean) / deviation


@pytest.mark.parametrize(
    ("count", "features", "regularization"),
    [(3000, 64, 1e-1), (3000, 64, 1e-3), (3000, 64, 1e-5), (300, 512, 1e-2)],
)
def test_it_equals_logistic_regression(count, features, regularization):
    train, test = clusters(count, features, 0), clusters(2000, features, 1)
    result = kv.linear_probe(None, train, test, regularization=regularization)
    peer = LogisticRegression(C=1 / (regularization * count), max_iter=5000, tol=1e-7)
    x, y = standardised(train[0], test[0])
    expected = peer.fit(x, train[1]).predict(y)
    assert abs(result.top1 - (expected == test[1]).mean()) <= 0.002
    assert (result.predictions == expected).mean() > 0.998
    assert result.settings["regularization"] == regularization


def test_a_constant_feature_changes_nothing():
    (x, labels), (y, truth) = clusters(500, 8, 0), clusters(500, 8, 1)
    with_constant = [
        np.hstack([part, np.full((500, 1), 7, "float32")]) for part in (x, y)
    ]
    plain = kv.linear_probe(None, (x, labels), (y, truth))
    result = kv.linear_probe(
        None, (with_constant[0], labels), (with_constant[1], truth)
    )
    np.testing.assert_array_equal(result.predictions, plain.predictions)


def test_regularization_is_the_best_on_held_out_train_images_and_test_is_touched_once(
    monkeypatch,
):
    train, test = clusters(200, 128, 0, noise=6), clusters(300, 128, 1, noise=6)
    seen = []  # (what, names of the rows), in order

    def name(rows):
        return {row.tobytes() for row in np.asarray(rows, "float32")}

    def fit(features, numbers, classes, regularization, *args, **options):
        seen.append(("fit", name(features)))
        return original_fit(
            features, numbers, classes, regularization, *args, **options
        )

    def logits(features, weights):
        seen.append(("predict", name(features)))
        return original_logits(features, weights)

    original_fit, original_logits = probes.fit_softmax, probes.logits
    monkeypatch.setattr(probes, "fit_softmax", fit)
    monkeypatch.setattr(probes, "logits", logits)
    monkeypatch.setattr(probes, "principal_axes", lambda *features: features)
    x = train[0] / train[0].std(axis=0), test[0] / train[0].std(axis=0)
    result = kv.linear_probe(None, (x[0], train[1]), (x[1], test[1]))
    *choice, final, tested = seen
    assert final == ("fit", name(x[0]))
    assert tested == ("predict", name(x[1]))
    assert sum(len(rows & name(x[1])) for _, rows in seen[:-1]) == 0
    assert len(choice) >= 4
    assert len({frozenset(rows) for what, rows in choice if what == "predict"}) == 1
    for (_, fitted), (_, held_out) in zip(choice[::2], choice[1::2]):
        assert len(fitted & held_out) == 0
        assert len(fitted) + len(held_out) == 200
        assert 38 <= len(held_out) <= 42
    # What it chose is near the best of all, although it never saw the test images.
    fixed = [
        kv.linear_probe(None, train, test, regularization=each).top1
        for each in probes.REGULARIZATIONS
    ]
    assert result.top1 > max(fixed) - 0.05
    assert max(fixed) - min(fixed) > 0.05


def test_no_photograph_of_the_sample_is_in_two_splits():
    images = {
        split: [image.tobytes() for image in kv.load_images("sample", 64, split)]
        for split in ("train", "validation", "test")
    }
    common = {
        (a, b): len(set(images[a]) & set(images[b]))
        for a, b in [("train", "validation"), ("train", "test"), ("validation", "test")]
    }
    assert set(common.values()) == {0}, common
    assert sum(map(len, images.values())) == 3781


@pytest.mark.parametrize("protocol", ["lbfgs", "sgd"])
def test_predictions_know_neither_test_labels_nor_the_other_test_images(protocol):
    images, labels = toys.images(60, seed=1), np.arange(60) % 3
    tested, truth = toys.images(40, seed=2), np.arange(40) % 3
    encoder = toys.encoder()
    options = {"protocol": protocol, "epochs": 3, "batch_size": 16}
    options["learning_rate"] = 1.0
    first = kv.linear_probe(encoder, (images, labels), (tested, truth), **options)
    other = kv.linear_probe(
        encoder, (images, labels), (tested[:7], 2 - truth[:7]), **options
    )
    assert len(np.unique(first.predictions)) > 1
    np.testing.assert_array_equal(other.predictions, first.predictions[:7])


def test_shuffled_test_labels_give_chance():
    train, (features, truth) = clusters(2000, 32, 0, 0.5), clusters(2000, 32, 1, 0.5)
    assert kv.linear_probe(None, train, (features, truth)).top1 > 0.95
    shuffled = np.random.default_rng(0).permutation(truth)
    result = kv.linear_probe(None, train, (features, shuffled))
    assert result.top1_interval[0] < 0.1 < result.top1_interval[1]


def softmax_regression_by_sgd(features, numbers, weights, bias, epochs, rate, decay):
    """The authors' loop in float64: a batch of 16, SGD(momentum=0.9), cosine."""
    features = np.float64(features)
    weights, bias = np.float64(weights), np.float64(bias)
    momenta = [np.zeros_like(weights), np.zeros_like(bias)]
    for epoch in range(epochs):
        now = rate / 2 * (1 + np.cos(np.pi * epoch / epochs))
        order = np.random.default_rng((5, epoch)).permutation(len(numbers))
        for start in range(0, len(order), 16):
            rows = order[start : start + 16]
            values = features[rows] @ weights + bias
            error = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
            error[np.arange(len(rows)), numbers[rows]] -= 1
            slopes = features[rows].T @ error / len(rows), error.mean(axis=0)
            for index, (parameter, slope) in enumerate(zip((weights, bias), slopes)):
                momenta[index] = 0.9 * momenta[index] + slope + decay * parameter
                parameter -= now * momenta[index]
    return weights, bias


@pytest.mark.every_backend
@pytest.mark.parametrize("epochs", [1, 4])
def test_sgd_follows_the_authors_schedule_step_by_step(epochs, monkeypatch):
    monkeypatch.setattr(
        classifiers,
        "random_crops",
        lambda images, *_: keras.ops.cast(images, "float32"),
    )
    images, numbers = toys.images(40), np.arange(40) % 3
    encoder = toys.encoder()
    model = build_classifier(encoder, 3, seed=5, frozen=True)
    weights, bias = model.get_layer("head").get_weights()
    assert 0.005 < weights.std() < 0.02
    assert not bias.any()
    train_classifier(
        model,
        images,
        numbers,
        (8, 8),
        seed=5,
        epochs=epochs,
        batch_size=16,
        head_rate=0.5,
        encoder_rate=0.0,
        weight_decay=0.01,
    )
    features = kv.embed(encoder, images)
    expected = softmax_regression_by_sgd(
        features, numbers, weights, bias, epochs, rate=0.5, decay=0.01
    )
    for found, value in zip(model.get_layer("head").get_weights(), expected):
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-6)


def test_the_schedule_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    for epoch in range(100):
        rate = optimizer.param_groups[0]["lr"]
        assert cosine_by_epoch(0.3, epoch, 100) == pytest.approx(rate, rel=1e-9)
        optimizer.step()
        schedule.step()


@pytest.mark.every_backend
def test_sgd_learns_and_leaves_the_encoder_alone():
    labels, truth = np.arange(96) % 3, np.arange(60) % 3
    images, tested = (toys.images(len(y), seed=len(y)) // 4 for y in (labels, truth))
    for x, y in ((images, labels), (tested, truth)):
        x[np.arange(len(y)), :, :, y] += 120  # a class is a colour
    encoder = toys.encoder()
    before = encoder.get_weights()
    result = kv.linear_probe(
        encoder,
        (images, labels),
        (tested, truth),
        "sgd",
        epochs=20,
        learning_rate=1.0,
        batch_size=32,
    )
    for old, new in zip(before, encoder.get_weights()):
        np.testing.assert_array_equal(new, old)
    assert result.top1 > 0.9
    assert result.settings["crop"] == [8, 8]
    assert result.settings["train_images"] == 96


@pytest.mark.every_backend
def test_a_frozen_encoder_is_in_inference_mode_while_the_head_learns():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization()(inputs)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    encoder = keras.Model(inputs, x)
    model = build_classifier(encoder, 3, seed=0, frozen=True)
    images = toys.images(6).astype("float32")
    frozen = model.get_layer("frozen")
    found = keras.ops.convert_to_numpy(frozen(images, training=True))
    expected = keras.ops.convert_to_numpy(encoder(images, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(model.trainable_variables) == 2
    assert encoder.trainable


def test_images_larger_than_the_encoder_takes_are_cropped_in_the_centre(monkeypatch):
    encoder = toys.encoder(size=8)
    images = toys.images(12, size=11)
    result = kv.linear_probe(
        encoder,
        (images, np.arange(12) % 2),
        (images, np.arange(12) % 2),
        "sgd",
        epochs=1,
    )
    assert result.settings["crop"] == [8, 8]
    from keras_vicreg.evaluation.crops import central_crops

    np.testing.assert_array_equal(central_crops(images, (8, 8)), images[:, 1:9, 1:9])


def test_bad_arguments_say_what_is_wrong():
    x, y = clusters(40, 4, 0)
    with pytest.raises(ValueError, match="`protocol` must be 'lbfgs' or 'sgd'"):
        kv.linear_probe(None, (x, y), (x, y), "magic")
    with pytest.raises(ValueError, match=r"at least two classes.*labels \[3\]"):
        kv.linear_probe(None, (x, np.full(40, 3)), (x, y))
    with pytest.raises(ValueError, match=r"`encoder` must be a keras\.Model"):
        kv.linear_probe(None, (x, y), (x, y), "sgd")
