"""Clusters against classes: the best pairing by trying all, and the scores' sense."""

import itertools
import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from keras_vicreg.evaluation.clustering import clustering, matched


def clusters(count, seed, noise):
    """Rows in five directions, of any length."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, count)
    x = 3 * np.eye(5, 8)[labels] + noise * rng.standard_normal((count, 8))
    return (x * rng.uniform(0.1, 10, (count, 1))).astype("float32"), labels * 7 - 3


@pytest.mark.parametrize(("clusters", "classes"), [(4, 4), (5, 3), (3, 5)])
def test_the_pairing_is_the_best_of_all(clusters, classes):
    rng = np.random.default_rng(clusters)
    found, labels = rng.integers(0, clusters, 60), rng.integers(0, classes, 60)
    names = [*range(classes), *[None] * (clusters - classes)]
    best = max(
        sum(pairing[cluster] == label for cluster, label in zip(found, labels))
        for pairing in itertools.permutations(names, clusters)
    )
    assert matched(found, labels).sum() == best
    assert matched(labels, labels).all()


def test_separate_classes_are_found_whatever_their_names_and_lengths():
    found = clustering(None, clusters(400, 0, noise=0.1))
    scores = found.accuracy, found.nmi, found.ari
    assert scores == pytest.approx((1, 1, 1))
    assert found.accuracy_interval == (1.0, 1.0)
    assert found.settings["clusters"] == 5


def test_scores_are_those_of_the_assignments():
    x, labels = clusters(400, 0, noise=2)
    found = clustering(None, (x, labels))
    assert 0.3 < found.accuracy < 0.95
    assert found.accuracy == matched(found.assignments, labels).mean()
    assert found.accuracy_interval[0] < found.accuracy < found.accuracy_interval[1]
    nmi = normalized_mutual_info_score(labels, found.assignments)
    assert found.nmi == pytest.approx(nmi)
    assert found.ari == pytest.approx(adjusted_rand_score(labels, found.assignments))


def test_labels_are_looked_at_only_afterwards():
    x, labels = clusters(2000, 0, noise=0.3)
    found = clustering(None, (x, labels), 5)
    shuffled = clustering(None, (x, np.random.default_rng(0).permutation(labels)), 5)
    np.testing.assert_array_equal(shuffled.assignments, found.assignments)
    assert abs(shuffled.ari) < 0.01
    assert shuffled.nmi < 0.02
    assert shuffled.accuracy < 0.25 < found.accuracy


def test_equal_seeds_give_equal_clusters_and_the_record_is_json():
    data = clusters(300, 0, noise=2)
    one, other = (clustering(None, data, 8, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.assignments, other.assignments)
    stored = json.loads(json.dumps(one.as_dict()))
    assert stored["settings"]["clusters"] == 8
    assert "assignments" not in stored


def test_bad_arguments_say_what_is_wrong():
    x, labels = clusters(10, 0, noise=1)
    for number in (0, 11, 2.0):
        with pytest.raises(ValueError, match="`clusters` must be a positive integer"):
            clustering(None, (x, labels), number)
    with pytest.raises(ValueError, match="`data` must be a pair"):
        clustering(None, x)
