"""kNN beside scikit-learn: time, extra memory, equal predictions.

    python training/benchmarks/knn.py [TRAIN TEST FEATURES]

Default 50,000 x 10,000 x 512, ten classes in clusters that overlap, k = 20,
temperature 0.07. scikit-learn's brute-force KNeighborsClassifier gets the same unit
vectors, once with the Euclidean metric, whose neighbours are the same and for which it
has its fastest code, and once with its cosine metric.
"""

import resource
import sys
import time

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

import keras_vicreg as kv

K, TEMPERATURE = 20, 0.07


def clusters(count: int, features: int, rng, centres):
    labels = rng.integers(0, len(centres), count)
    noise = rng.standard_normal((count, features), dtype="float32")
    vectors = centres[labels] + 5 * noise
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def weights(distances, squared):
    """scikit-learn hands distances over; ours are exp(similarity / temperature)."""
    similarity = 1 - (np.square(distances) / 2 if squared else distances)
    return np.exp((similarity - 1) / TEMPERATURE)


def timed(function):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - begin
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return result, seconds, grown / 1024


def main(train_size=50_000, test_size=10_000, features=512):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((10, features)).astype("float32")
    train = clusters(train_size, features, rng, centres)
    test = clusters(test_size, features, rng, centres)

    def peer(metric, squared):
        classifier = KNeighborsClassifier(
            K,
            algorithm="brute",
            metric=metric,
            weights=lambda distances: weights(distances, squared),
        )
        return classifier.fit(*train).predict(test[0])

    rows = {
        "keras_vicreg": lambda: kv.knn(None, train, test, K, TEMPERATURE).predictions,
        "scikit-learn, euclidean": lambda: peer("euclidean", True),
        "scikit-learn, cosine": lambda: peer("cosine", False),
    }
    kv.knn(None, test, test)  # imports what is needed, wakes the processor cores
    print(f"{train_size} x {test_size} x {features}, k = {K}")
    base = None
    for name, function in rows.items():
        predictions, seconds, grown = timed(function)
        base = base or (seconds, predictions)
        print(
            f"{name:26}{seconds:8.2f} s, {seconds / base[0]:6.2f} times ours; peak "
            f"memory +{grown:6.0f} MiB; equal predictions "
            f"{(predictions == base[1]).mean():.5f}",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
