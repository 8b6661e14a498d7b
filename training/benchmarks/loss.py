"""Time and memory of a loss, forward and backward, beside the peers'.

    python training/benchmarks/loss.py [--loss vicreg] [--backend tensorflow]

In one run and on one backend it measures ours and the authors' formula, written out
below: that of VICReg and of Barlow Twins, which form the (D, D) matrix, or of MoCo,
which concatenates the logits; on PyTorch also lightly's where it is installed. Each
case runs in a process of its own, so that its peak memory is its own; rounds alternate
between the contestants, and the ratio is that of the medians.

Extra memory is the peak of the resident set over what the process held before the
first call, embeddings included in neither.
"""

import argparse
import functools
import os
import resource
import statistics

from peak_memory import peak_memory
from turns import Worker, take_turns

SHAPES = {
    "vicreg": [(256, 8192), (256, 2048), (2048, 2048), (2048, 256), (256, 256)],
    "barlow_twins": [(256, 8192), (256, 2048), (1024, 2048), (2048, 2048), (256, 256)],
    "moco": [(256, 128)],
}
ROUNDS = 5


def authors_formula(ops, name: str):
    """A loss as its authors' code computes it, in the operations of Keras."""

    def off_diagonal(square):
        n = square.shape[0]
        flat = ops.reshape(square, (-1,))[:-1]
        return ops.reshape(ops.reshape(flat, (n - 1, n + 1))[:, 1:], (-1,))

    def vicreg(x, y):
        samples, features = x.shape
        invariance = ops.mean(ops.square(x - y))
        x, y = x - ops.mean(x, axis=0), y - ops.mean(y, axis=0)
        std_x, std_y = (
            ops.sqrt(ops.sum(ops.square(z), axis=0) / (samples - 1) + 1e-4)
            for z in (x, y)
        )
        variance = ops.mean(ops.relu(1 - std_x)) / 2 + ops.mean(ops.relu(1 - std_y)) / 2
        covariance = sum(
            ops.sum(
                ops.square(
                    off_diagonal(ops.matmul(ops.transpose(z), z) / (samples - 1))
                )
            )
            / features
            for z in (x, y)
        )
        return 25 * invariance + 25 * variance + covariance

    def barlow_twins(x, y):
        x, y = (
            (z - ops.mean(z, axis=0)) / ops.sqrt(ops.var(z, axis=0) + 1e-5)
            for z in (x, y)
        )
        c = ops.matmul(ops.transpose(x), y) / x.shape[0]
        return ops.sum(ops.square(ops.diagonal(c) - 1)) + 0.0051 * ops.sum(
            ops.square(off_diagonal(c))
        )

    def moco(x, y):
        x, y = (z / ops.norm(z, axis=1, keepdims=True) for z in (x, y))
        negatives = queue(x.shape[1])
        sides = []
        for query, key in ((x, ops.stop_gradient(y)), (y, ops.stop_gradient(x))):
            positive = ops.sum(query * key, axis=1, keepdims=True)
            others = ops.matmul(query, ops.transpose(negatives))
            logits = ops.concatenate([positive, others], axis=1) / 0.2
            sides.append(-ops.mean(ops.log_softmax(logits, axis=1)[:, 0]))
        return sum(sides) / 2

    return {"vicreg": vicreg, "barlow_twins": barlow_twins, "moco": moco}[name]


@functools.cache
def queue(features: int):
    """The negatives of MoCo, 65,536 unit rows."""
    import keras
    import numpy as np

    rows = np.random.default_rng(1).standard_normal((65536, features))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return keras.ops.convert_to_tensor(rows, "float32")


def our_formula(name: str):
    """The same loss as this package computes it."""
    import keras_vicreg as kv
    from keras_vicreg.methods.moco import contrast

    def barlow_twins(x, y):
        terms = kv.barlow_twins_terms(x, y)
        return terms["invariance"] + 0.0051 * terms["redundancy"]

    def moco(x, y):
        keys = [keras.ops.stop_gradient(z) for z in (x, y)]
        negatives = queue(x.shape[1])[None]
        # Each view's key is here the other view's query, as in the formula above.
        return contrast((x, y), keys, negatives, 0.2, "v2+")["contrastive"]

    import keras

    return {"vicreg": kv.VICRegLoss(), "barlow_twins": barlow_twins, "moco": moco}[name]


def step_of(contestant: str, name: str):
    """A function of two embedding batches that gives value and gradients."""
    import keras

    if contestant == "lightly":
        from lightly import loss as peers

        loss = {"vicreg": peers.VICRegLoss, "barlow_twins": peers.BarlowTwinsLoss}
        options = {"lambda_param": 0.0051} if name == "barlow_twins" else {}
        loss = loss[name](**options)
    elif contestant == "ours":
        loss = our_formula(name)
    else:
        loss = authors_formula(keras.ops, name)
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def step(a, b):
            with tf.GradientTape() as tape:
                tape.watch((a, b))
                value = loss(a, b)
            return value, tape.gradient(value, (a, b))

        return lambda a, b: step(a, b)[0].numpy()
    if backend == "jax":
        import jax

        step = jax.jit(jax.value_and_grad(loss, (0, 1)))
        return lambda a, b: jax.block_until_ready(step(a, b))[0]

    def step(a, b):
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        value = loss(a, b)
        value.backward()
        return value.item()

    return step


def resident() -> float:
    """Resident set of this process, MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def worker(contestant: str, name: str, samples: int, features: int) -> None:
    """One contestant; ends with the value and with memory."""
    import keras
    import numpy as np

    r = np.random.default_rng(0)
    a, b = (
        keras.ops.convert_to_tensor(r.standard_normal((samples, features)), "float32")
        for _ in range(2)
    )
    keras.ops.convert_to_numpy(keras.ops.matmul(a[:8], keras.ops.transpose(b[:8])))
    before = resident()
    step = step_of(contestant, name)
    value = float(step(a, b))
    take_turns(lambda: step(a, b))
    print(value, peak_memory() - before, flush=True)


def compare(names, loss: str, samples: int, features: int) -> dict:
    """Median seconds, value and extra memory of each contestant."""
    case = [loss, str(samples), str(features)]
    workers = {name: Worker([__file__, "--worker", name, *case]) for name in names}
    seconds = {name: [] for name in names}
    for turn in range(ROUNDS + 2):
        for name, worker in workers.items():
            taken, _ = worker.turn()
            if turn >= 2:
                seconds[name].append(taken)
    results = {}
    for name, worker in workers.items():
        value, memory = worker.end()
        results[name] = (statistics.median(seconds[name]), value, memory)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--loss", default="vicreg", choices=SHAPES)
    parser.add_argument("--worker", nargs=4)
    options = parser.parse_args()
    if options.worker:
        contestant, name, samples, features = options.worker
        worker(contestant, name, int(samples), int(features))
        return
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    names = ["ours", "authors"]
    if options.backend == "torch" and options.loss != "moco":
        try:
            import lightly.loss  # noqa: F401

            names.append("lightly")
        except ImportError:
            print("lightly is not installed: left out")
    print(
        f"{options.loss}, {options.backend}, forward and backward, medians of {ROUNDS}"
    )
    print(f"{'N':>6}{'D':>6}  {'loss':<9}{'ms':>9}{'MB':>8}  times ours")
    for samples, features in SHAPES[options.loss]:
        results = compare(names, options.loss, samples, features)
        ours, value, _ = results["ours"]
        for name, (seconds, other, memory) in results.items():
            assert abs(other - value) < 1e-3 * abs(value), (name, other, value)
            print(
                f"{samples:6}{features:6}  {name:<9}{1e3 * seconds:9.1f}{memory:8.0f}"
                f"  {seconds / ours:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
