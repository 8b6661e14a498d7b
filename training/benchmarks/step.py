"""A VICReg training step beside the same in PyTorch, on the same processor cores.

    python training/benchmarks/step.py [--rounds 5] [--threads 2] [CONTENDER ...]

Two networks: ResNet-18 with the CIFAR stem on pairs of 32 px, ResNet-50 on pairs of
96 px; an expander 2048-2048-2048, the loss in float32, SGD with momentum. The peer is
the authors' network and loss written in PyTorch, plain and with channels last. Views
are given, so the step alone is timed. Each contender is a process of its own that waits
while the others run; they take turns, and the fastest round of each counts, since what
else the machine does can only slow a round down. The views of a CPU second, of all
threads together, are what is least disturbed by that. A view is an image through the
encoder: two a pair.

On two cores of an Intel Xeon (AVX-512, AMX) with nothing else to do, views a second
and, in brackets, a CPU second, in times of plain PyTorch, in two runs:

- ResNet-18: Keras on TensorFlow 0.97 (0.98) and 1.01 (1.03), with Keras's own batch
  normalization 0.82 (0.84). In bfloat16, which AMX multiplies, PyTorch 2.06 (2.05)
  and Keras on TensorFlow 1.69 (1.76). PyTorch with channels last 0.99 (1.00).
- ResNet-50: Keras on TensorFlow 0.95 (0.98) and 0.98 (1.01), with Keras's own batch
  normalization 0.78 (0.80); in bfloat16 PyTorch 1.42 (1.42), Keras on TensorFlow 1.31
  (1.36). PyTorch with channels last 0.93 (0.95).

In brackets alone, since `fit` then waited at the end of some epochs (`epoch_end.py`),
four runs on other machines and days gave Keras on TensorFlow 1.23, 1.21, 1.05 and 1.06
for ResNet-18, 1.05 and 0.97 for ResNet-50. ResNet-18 with XLA had 0.65, on JAX 0.61,
on torch 0.78.

So the fused kernel of batch normalization makes the step a sixth faster; where the
rest goes, on each backend, says `step_profile.py`.
"""

import argparse
import contextlib
import sys
from pathlib import Path

from turns import Worker, take_turns

TASKS = {  # name, side, pairs in a batch
    "ResNet-18, 32 px": ("resnet18", 32, 32),
    "ResNet-50, 96 px": ("resnet50", 96, 16),
}
WIDTHS = (2048, 2048, 2048)
STEPS = 6  # in a round: an epoch of `fit` begins and ends once in it
# contender -> Keras's backend, or None, and an option
CONTENDERS = {
    "PyTorch": (None, ""),
    "PyTorch, channels last": (None, "channels last"),
    "PyTorch, bfloat16": (None, "bfloat16"),
    "Keras, TensorFlow": ("tensorflow", ""),
    "Keras, TensorFlow, unfused": ("tensorflow", "unfused"),
    "Keras, TensorFlow, XLA": ("tensorflow", "xla"),
    "Keras, TensorFlow, bfloat16": ("tensorflow", "bfloat16"),
    "Keras, JAX": ("jax", "xla"),
    "Keras, torch": ("torch", ""),
}
BASE = "PyTorch"


def views(side, pairs):
    import numpy as np

    shape = (2, STEPS * pairs, side, side, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


def keras_steps(option, threads, name, side, pairs):
    """A function that makes `STEPS` training steps."""
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    elif keras.config.backend() == "torch":
        import torch

        torch.set_num_threads(threads)
    import keras_vicreg as kv
    from keras_vicreg.methods import train_step

    if option == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    if option == "unfused":
        train_step.fused_batch_norm = contextlib.nullcontext
    stem = "cifar" if side <= 64 else "imagenet"
    encoder = kv.encoder(name, (side, side, 3), stem=stem)
    model = kv.VICReg(encoder, kv.expander(WIDTHS))
    model.compile(keras.optimizers.SGD(1e-4, 0.9), jit_compile=option == "xla")
    a, b = views(side, pairs)
    return lambda: model.fit((a, b), batch_size=pairs, verbose=0)


def torch_steps(option, threads, name, side, pairs):
    """The same, in PyTorch alone."""
    import torch
    from torch import nn

    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
    from torch_resnet import TorchResNet

    torch.set_num_threads(threads)
    encoder = TorchResNet(name, stem="cifar" if side <= 64 else "imagenet")
    layers, features = [], encoder.features
    for width in WIDTHS[:-1]:
        layers += [nn.Linear(features, width), nn.BatchNorm1d(width), nn.ReLU()]
        features = width
    expander = nn.Sequential(*layers, nn.Linear(features, WIDTHS[-1], bias=False))
    model = nn.Sequential(encoder, expander).train()
    if option == "channels last":
        model = model.to(memory_format=torch.channels_last)
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=option == "bfloat16")
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, 0.9)
    batches = torch.from_numpy(views(side, pairs)).split(pairs, dim=1)

    def run():
        for a, b in batches:
            optimizer.zero_grad()
            with mixed:
                embeddings = model(a), model(b)
            torch_loss(*(z.float() for z in embeddings)).backward()
            optimizer.step()

    return run


def torch_loss(a, b):
    """25 invariance + 25 variance + covariance, with the authors' constants."""
    import torch

    loss = 25 * torch.nn.functional.mse_loss(a, b)
    for z in (a, b):
        z = z - z.mean(0)
        std = torch.sqrt(z.var(0) + 1e-4)
        covariance = z.T @ z / (len(z) - 1)
        off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
        loss = loss + 12.5 * torch.relu(1 - std).mean() + off_diagonal / len(z.T)
    return loss


def work(contender, task, threads) -> None:
    """One contender; prints the views of a round when it is ready for them."""
    backend, option = CONTENDERS[contender]
    name, side, pairs = TASKS[task]
    steps = keras_steps if backend else torch_steps
    run = steps(option, threads, name, side, pairs)
    run()  # traces and compiles
    print(2 * pairs * STEPS, flush=True)
    take_turns(run)


def compare(task, contenders, rounds, threads) -> None:
    """Prints the table of one task."""
    workers = {}
    for name in contenders:
        workers[name] = Worker(
            [__file__, "--worker", task, "--threads", str(threads), name],
            PYTHONPATH=str(Path(__file__).parents[2]),
            KERAS_BACKEND=CONTENDERS[name][0] or "",
        )
        [views_in_round] = workers[name].read()
    best = {name: (float("inf"), float("inf")) for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            best[name] = tuple(map(min, best[name], worker.turn()))
    for worker in workers.values():
        worker.end()
    pairs = TASKS[task][2]
    print(f"{task}, {pairs} pairs, {threads} threads, best of {rounds} rounds")
    print(f"  {'':28}{'views/s':>8}{'ratio':>7}{'a CPU second':>15}{'ratio':>7}")
    for name, row in best.items():
        line = f"  {name:28}"
        for seconds, base, width in zip(row, best.get(BASE, row), (8, 15)):
            line += f"{views_in_round / seconds:{width}.1f}{base / seconds:7.2f}"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("contenders", nargs="*", metavar="CONTENDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", metavar="TASK", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.contenders[0], options.worker, options.threads)
        return
    for task in TASKS:
        names = options.contenders or list(CONTENDERS)
        compare(task, names, options.rounds, options.threads)


if __name__ == "__main__":
    main()
