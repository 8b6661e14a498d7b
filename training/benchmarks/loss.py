"""Time and memory of the VICReg loss, forward and backward, beside the peers'.

    python training/benchmarks/loss.py [--backend tensorflow]

In one run and on one backend it measures ours and the authors' formula, written out
below, which forms the (D, D) covariance; on PyTorch also lightly's `VICRegLoss` where
it is installed. Each case runs in a process of its own, so that its peak memory is its
own; rounds alternate between the contestants, and the ratio is that of the medians.

Extra memory is the peak of the resident set over what the process held before the
first call, embeddings included in neither.
"""

import argparse
import os
import resource
import statistics

from peak_memory import peak_memory
from turns import Worker, take_turns

SHAPES = [(256, 8192), (256, 2048), (2048, 2048), (2048, 256), (256, 256)]
ROUNDS = 5


def authors_formula(ops):
    """The loss as the authors' code computes it, in the operations of Keras."""

    def off_diagonal(square):
        n = square.shape[0]
        flat = ops.reshape(square, (-1,))[:-1]
        return ops.reshape(ops.reshape(flat, (n - 1, n + 1))[:, 1:], (-1,))

    def loss(x, y):
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

    return loss


def step_of(name: str):
    """A function of two embedding batches that gives value and gradients."""
    import keras

    import keras_vicreg as kv

    if name == "lightly":
        from lightly.loss import VICRegLoss

        loss = VICRegLoss()
    else:
        loss = kv.VICRegLoss() if name == "ours" else authors_formula(keras.ops)
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


def worker(name: str, samples: int, features: int) -> None:
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
    step = step_of(name)
    value = float(step(a, b))
    take_turns(lambda: step(a, b))
    print(value, peak_memory() - before, flush=True)


def compare(names, samples: int, features: int) -> dict:
    """Median seconds, value and extra memory of each contestant."""
    case = [str(samples), str(features)]
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
    parser.add_argument("--worker", nargs=3)
    options = parser.parse_args()
    if options.worker:
        name, samples, features = options.worker
        worker(name, int(samples), int(features))
        return
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    names = ["ours", "authors"]
    if options.backend == "torch":
        try:
            import lightly.loss  # noqa: F401

            names.append("lightly")
        except ImportError:
            print("lightly is not installed: left out")
    print(f"{options.backend}, forward and backward, medians of {ROUNDS}")
    print(f"{'N':>6}{'D':>6}  {'loss':<9}{'ms':>9}{'MB':>8}  times ours")
    for samples, features in SHAPES:
        results = compare(names, samples, features)
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
