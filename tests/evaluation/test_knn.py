"""kNN equals float64 arithmetic, ties included; its scores and intervals are exact."""

import numpy as np
import pytest

import keras_vicreg as kv
from keras_vicreg.evaluation.accuracy import bootstrap_interval
from keras_vicreg.evaluation.neighbours import nearest


def similarities(queries, bank):
    """Cosines in float64, one pair after the other: equal pairs, equal cosines."""
    queries, bank = np.float64(queries), np.float64(bank)
    products = np.stack([(bank * query).sum(axis=1) for query in queries])
    lengths = [np.sqrt((x * x).sum(axis=1)) for x in (queries, bank)]
    lengths = [np.where(length > 0, length, 1) for length in lengths]
    return products / lengths[0][:, None] / lengths[1]


def reference(train, labels, test, k, temperature):
    """The classifier as its definition reads, one test image after the other."""
    predictions = []
    for row in similarities(test, train):
        row = np.round(row, 12)
        chosen = sorted(range(len(row)), key=lambda index: (-row[index], index))[:k]
        votes = np.zeros(labels.max() + 1)
        for index in chosen:
            votes[labels[index]] += np.exp((row[index] - row[chosen[0]]) / temperature)
        predictions.append(votes.argmax())
    return np.array(predictions)


def features(count, size, seed, kind):
    rng = np.random.default_rng(seed)
    if kind == "ties":  # few different directions, many equal similarities
        return rng.integers(-1, 2, (count, 5)).astype("float32")
    x = rng.standard_normal((count, size)).astype("float32")
    if kind == "duplicates":
        x[count // 2 :] = x[: count - count // 2]
        x[: count // 10] = x[0]
    return x


@pytest.mark.parametrize("kind", ["plain", "duplicates", "ties"])
def test_predictions_equal_float64_on_5000_by_1000(kind):
    rng = np.random.default_rng(1)
    train, test = features(5000, 64, 2, kind), features(1000, 64, 3, kind)
    if kind == "duplicates":
        test[:300] = train[:300]
    labels = rng.integers(0, 7, 5000)
    result = kv.knn(None, (train, labels), (test, np.zeros(1000, int)), k=20)
    expected = reference(train, labels, test, 20, 0.07)
    np.testing.assert_array_equal(result.predictions, expected)


def test_a_collapsed_bank_takes_the_first_rows():
    bank = np.ones((3000, 16), "float32")
    indices, values = nearest(bank[:5] * 2, bank, 10)
    np.testing.assert_array_equal(indices, np.tile(np.arange(10), (5, 1)))
    np.testing.assert_allclose(values, 1, atol=1e-12)


def test_a_zero_vector_is_similar_to_nothing():
    bank = np.array([[0, 0], [-1, 0], [1, 0]], "float32")
    indices, values = nearest(np.array([[2, 0], [0, 0]], "float32"), bank, 3)
    np.testing.assert_array_equal(indices, [[2, 0, 1], [0, 1, 2]])
    np.testing.assert_array_equal(values, [[1, 0, -1], [0, 0, 0]])


@pytest.mark.parametrize("rows", [30, 36, 37, 1000, 5000])
def test_neighbours_for_any_size_of_bank(rows):
    queries, bank = features(70, 8, 0, "plain"), features(rows, 8, 1, "plain")
    indices, values = nearest(queries, bank, 20)
    exact = similarities(queries, bank)
    expected = np.argsort(-exact, axis=1)[:, :20]
    np.testing.assert_array_equal(indices, expected)
    expected = np.take_along_axis(exact, expected, axis=1)
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_several_k_and_the_first_is_the_result():
    train, test = features(200, 8, 0, "plain"), features(100, 8, 1, "plain")
    labels, truth = np.arange(200) % 3, np.arange(100) % 3
    result = kv.knn(None, (train, labels), (test, truth), k=(5, 1, 200))
    for k in (5, 1, 200):
        single = kv.knn(None, (train, labels), (test, truth), k=k)
        assert result.top1_by_k[k] == single.top1
    assert result.top1 == result.top1_by_k[5]
    assert result.settings["k"] == 5


def test_k_may_be_of_numpy():
    train, labels = features(50, 8, 0, "plain"), np.arange(50) % 3
    data = train, labels
    expected = kv.knn(None, data, data, k=(5, 1))
    for k in (np.array([5, 1]), [np.int64(5), np.int32(1)]):
        assert kv.knn(None, data, data, k=k).as_dict() == expected.as_dict()
    single = kv.knn(None, data, data, k=np.int64(5))
    assert single.top1 == expected.top1
    assert type(single.settings["k"]) is int
    found = kv.retrieval(None, data, k=np.int64(5))
    assert found.recall == kv.retrieval(None, data, k=(5,)).recall
    assert kv.clustering(None, data, np.int64(3)).settings["clusters"] == 3
    for k in (5.0, "5", None, (1, 2.5), (), 0, np.int64(51), {5}):
        for measure in (kv.knn, kv.retrieval):
            with pytest.raises(ValueError, match=r"`k` must be at least 1.*Received"):
                measure(None, data, data, k=k)


def test_the_temperature_weighs_the_votes():
    train, test = features(300, 4, 5, "plain"), features(200, 4, 6, "plain")
    labels = np.random.default_rng(7).integers(0, 3, 300)
    data, found = (test, np.zeros(200, int)), []
    for temperature in (0.01, 0.07, 1.0):
        result = kv.knn(None, (train, labels), data, k=40, temperature=temperature)
        expected = reference(train, labels, test, 40, temperature)
        np.testing.assert_array_equal(result.predictions, expected)
        assert result.settings["temperature"] == temperature
        found.append(tuple(expected))
    assert len(set(found)) == 3


def test_labels_may_be_any_integers_and_top5_counts_voted_classes_only():
    train = np.eye(8, dtype="float32")
    labels = np.array([-5, 3, 10, 11, 12, 13, 14, 15])
    test = train + 0.01
    result = kv.knn(None, (train, labels), (test, labels), k=1)
    assert result.top1 == result.top5 == 1
    assert result.predictions.tolist() == labels.tolist()
    unknown = kv.knn(None, (train, labels), (test, np.full(8, 99)), k=8)
    assert unknown.top1 == unknown.top5 == 0
    wrong = kv.knn(None, (train, labels), (test, np.roll(labels, 1)), k=1)
    assert wrong.top5 == 0  # one neighbour, one class with a vote


def test_interval_is_that_of_resampled_images():
    rng = np.random.default_rng(0)
    correct = rng.random(372) < 0.4
    low, high = bootstrap_interval(correct)
    draws = correct[rng.integers(0, 372, (10_000, 372))].mean(axis=1)
    expected = np.quantile(draws, [0.025, 0.975])
    np.testing.assert_allclose([low, high], expected, atol=0.004)
    assert bootstrap_interval(np.ones(10)) == (1.0, 1.0)
    thirds = rng.integers(0, 4, 372) / 3  # a mean over three seeds
    low, high = bootstrap_interval(thirds)
    draws = thirds[rng.integers(0, 372, (10_000, 372))].mean(axis=1)
    expected = np.quantile(draws, [0.025, 0.975])
    np.testing.assert_allclose([low, high], expected, atol=0.004)


def test_shuffled_test_labels_give_chance():
    rng = np.random.default_rng(0)
    labels, truth = rng.integers(0, 10, 2000), rng.integers(0, 10, 2000)
    centres = rng.standard_normal((10, 16))
    train = centres[labels] + 0.3 * rng.standard_normal((2000, 16))
    test = centres[truth] + 0.3 * rng.standard_normal((2000, 16))
    data = (train.astype("float32"), labels)
    assert kv.knn(None, data, (test, truth)).top1 > 0.9
    shuffled = kv.knn(None, data, (test, rng.permutation(truth)))
    assert abs(shuffled.top1 - 0.1) < 0.03
    assert shuffled.top1_interval[0] < 0.1 < shuffled.top1_interval[1]


def test_bad_arguments_say_what_is_wrong():
    x, y = features(10, 4, 0, "plain"), np.arange(10)
    with pytest.raises(ValueError, match=r"`k` must be at least 1.*k=20 for 10 images"):
        kv.knn(None, (x, y), (x, y))
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        kv.knn(None, (x, y), (x, y), k=3, temperature=0)
    with pytest.raises(ValueError, match="labels of `train` must be integers"):
        kv.knn(None, (x, y / 2), (x, y), k=3)
    with pytest.raises(ValueError, match="`test` must be a pair"):
        kv.knn(None, (x, y), x, k=3)
    x[4, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 10, the first at index 4"):
        kv.knn(None, (x, y), (x, y), k=3)


@pytest.mark.every_backend
def test_an_encoder_its_model_and_a_dataset_agree():
    import toys

    images, labels = toys.images(50), np.arange(50) % 4
    model = toys.vicreg()
    direct = kv.embed(model.encoder, images)
    assert direct.shape == (50, 6)
    assert direct.dtype == np.float32
    np.testing.assert_array_equal(kv.embed(model, images), direct)
    np.testing.assert_allclose(
        kv.embed(model, images, batch_size=7), direct, rtol=1e-4, atol=1e-6
    )
    result = kv.knn(model, (images, labels), (images, labels), k=1)
    assert result.top1 == 1


def test_a_shuffled_dataset_keeps_images_and_labels_together():
    tf = pytest.importorskip("tensorflow")
    import toys

    images, labels = toys.images(60), np.arange(60)
    encoder = toys.encoder()
    pairs = tf.data.Dataset.from_tensor_slices((images, labels))
    pairs = pairs.shuffle(60, reshuffle_each_iteration=True).batch(16)
    result = kv.knn(encoder, pairs, (images, labels), k=1)
    assert result.top1 == 1
    features = kv.embed(encoder, pairs)
    assert features.shape == (60, 6)


@pytest.mark.slow
def test_50000_by_10000_stays_under_a_gigabyte():
    import tracemalloc

    bank, queries = features(50_000, 512, 0, "plain"), features(10_000, 512, 1, "plain")
    tracemalloc.start()
    nearest(queries, bank, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
