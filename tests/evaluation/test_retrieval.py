"""Retrieval against a loop over all images."""

import json

import numpy as np
import pytest

from keras_vicreg.evaluation.retrieval import retrieval


def representations(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, count)
    x = np.eye(6, 10)[labels] + 0.8 * rng.standard_normal((count, 10))
    return x.astype("float32"), labels


def ranked(query, gallery, left_out=None):
    """Indices of the gallery, most similar first, the earlier of equals first."""
    cosines = np.float64(gallery) @ np.float64(query)
    cosines /= np.linalg.norm(np.float64(gallery), axis=1)
    order = np.argsort(-np.round(cosines, 12), kind="stable")
    return [index for index in order if index != left_out]


@pytest.mark.parametrize("alone", [True, False])
def test_recall_equals_a_loop_over_all_images(alone):
    queries, gallery = representations(150, 0), representations(200, 1)
    result = retrieval(None, queries, None if alone else gallery, k=(1, 5, 10))
    searched = queries if alone else gallery
    hits = {1: [], 5: [], 10: []}
    for row, (query, label) in enumerate(zip(*queries)):
        order = ranked(query, searched[0], row if alone else None)
        np.testing.assert_array_equal(result.neighbours[row], order[:10])
        for k in hits:
            hits[k].append(label in searched[1][order[:k]])
    assert result.recall == {k: np.mean(found) for k, found in hits.items()}
    assert result.recall[1] < result.recall[5] < result.recall[10]
    for k, (low, high) in result.recall_intervals.items():
        assert low <= result.recall[k] <= high
    assert result.settings["gallery"] == (149 if alone else 200)


def test_an_images_own_self_is_left_out_where_others_equal_it():
    x = np.array([[1, 0], [1, 0], [1, 0.1], [0, 1], [0.1, 1]], "float32")
    result = retrieval(None, (x, np.array([0, 1, 0, 2, 2])), k=(1, 2))
    for row, neighbours in enumerate(result.neighbours):
        assert row not in neighbours
    assert result.recall == {1: 0.6, 2: 0.8}  # 0 and 1 find each other first
    equal = retrieval(None, (np.ones((9, 3), "float32"), np.arange(9)), k=(2,))
    for row, neighbours in enumerate(equal.neighbours):
        assert row not in neighbours
    assert equal.recall == {2: 0.0}


def test_shuffled_labels_give_chance():
    x, labels = representations(1500, 0)
    shuffled = np.random.default_rng(0).permutation(labels)
    result = retrieval(None, (x, shuffled), k=(1,))
    assert abs(result.recall[1] - 1 / 6) < 0.03
    assert retrieval(None, (x, labels), k=(1,)).recall[1] > 0.3


def test_the_record_is_json():
    stored = json.loads(json.dumps(retrieval(None, representations(30, 0)).as_dict()))
    assert set(stored["recall"]) == {"1", "5", "10"}
    assert stored["settings"]["own_image_left_out"] is True
    assert "neighbours" not in stored


def test_bad_arguments_say_what_is_wrong():
    data = representations(5, 0)
    with pytest.raises(ValueError, match=r"k=\(5,\) for 4 images"):
        retrieval(None, data, k=(5,))
    with pytest.raises(ValueError, match=r"k=\(\) for 5 images"):
        retrieval(None, data, data, k=())
    with pytest.raises(ValueError, match="`queries` must be a pair"):
        retrieval(None, data[0])
