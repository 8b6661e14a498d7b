"""kNN beside scikit-learn: time, extra memory, equal predictions.

    python training/benchmarks/knn.py [TRAIN TEST FEATURES]

Default 50,000 x 10,000 x 512, ten classes in clusters that overlap, k = 20,
temperature 0.07. scikit-learn's brute-force KNeighborsClassifier gets the same unit
vectors, once with the Euclidean metric, whose neighbours are the same and for which it
has its fastest code, and once with its cosine metric. They take turns, and the fastest
of three rounds counts; peak memory is what a round adds to that of all before.
"""

import sys
import time

import numpy as np
from peak_memory import peak_memory
from sklearn.neighbors import KNeighborsClassifier

import keras_vicreg as kv

K, TEMPERATURE = 20, 0.07
ROUNDS = 3


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
    before = peak_memory()
    begin = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - begin
    grown = peak_memory() - before
    return result, seconds, grown * 1e6 / 2**20


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
    measured = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, function in rows.items():
            measured[name].append(timed(function))
    base = measured["keras_vicreg"]
    for name, rounds in measured.items():
        predictions, seconds, grown = zip(*rounds)
        fastest, ours = min(seconds), min(row[1] for row in base)
        print(
            f"{name:26}{fastest:8.2f} s, {fastest / ours:6.2f} times ours; peak "
            f"memory +{max(grown):6.0f} MiB; equal predictions "
            f"{(predictions[0] == base[0][0]).mean():.5f}",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
