"""The training step of ResNet-50 on one GPU, beside lightly's on the same card.

    python training/benchmarks/gpu.py [--batch 256] [--rounds 3] [CONTENDER ...]

224 px, an expander 8192-8192-8192, SGD with momentum, bfloat16 with weights and loss in
float32. Ours is `fit` on images in memory, of which the device makes the views, or on
pairs of views in memory. lightly's head and loss stand on torchvision's network, in
channels last; its views are made by a process on each core, or given, all on the device
before the clock starts, so that its step is timed alone, plain or compiled. Contenders
are processes of their own, one after the other, each with the device to itself; of some
rounds the fastest counts. Counted are images a second, of which each becomes two views.

What an environment lacks (a backend, lightly) is left out, and said. Without a GPU it
runs on the processor: `--encoder resnet18 --size 32 --batch 8 --units 64 --steps 2`.
"""

import argparse
import importlib.util
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
# contender -> Keras's backend, or lightly, and where its views come from
CONTENDERS = {
    "lightly, views given": ("lightly", "given"),
    "lightly, views given, compiled": ("lightly", "compiled"),
    "lightly, its views": ("lightly", "made"),
    "Keras, JAX, pairs": ("jax", "given"),
    "Keras, JAX, views on the device": ("jax", "made"),
    "Keras, torch, pairs": ("torch", "given"),
    "Keras, torch, views on the device": ("torch", "made"),
    "Keras, TensorFlow, pairs": ("tensorflow", "given"),
    "Keras, TensorFlow, views on the device": ("tensorflow", "made"),
}
BASE = "lightly, views given"
SIZES = {
    "encoder": "resnet50",
    "size": 224,
    "batch": 256,
    "units": 8192,  # of each layer of the expander
    "steps": 8,  # in a round, which is an epoch of `fit`
    "rounds": 3,
}


def photographs(options):
    """Random images, a seventh larger than the views that are cut from them."""
    import numpy as np

    side = options.size * 8 // 7
    shape = (options.batch * options.steps, side, side, 3)
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def ours(views, options):
    """A function that trains for an epoch and returns the loss."""
    import keras

    import keras_vicreg as kv

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = kv.VICReg(
        kv.encoder(options.encoder, (options.size, options.size, 3)),
        kv.expander((options.units,) * 3),
        views=kv.TwoViews(options.size) if views == "made" else None,
    )
    model.compile(keras.optimizers.SGD(1e-4, 0.9))
    data = photographs(options)
    if views == "given":
        data = data[:, : options.size, : options.size]
        data = (data, data[:, :, ::-1])

    def epoch():
        history = model.fit(data, batch_size=options.batch, verbose=0)
        return history.history["loss"][0]

    return epoch


def lightly(views, options):
    """The same, with lightly's head and loss in PyTorch."""
    import torch
    from peers import declare_operators_and_import_torchvision, pairs_of_views

    declare_operators_and_import_torchvision(torch)
    import torchvision
    from lightly.loss import VICRegLoss
    from lightly.models.modules.heads import VICRegProjectionHead

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = getattr(torchvision.models, options.encoder)(weights=None)
    head = VICRegProjectionHead(net.fc.in_features, options.units, options.units)
    net.fc = torch.nn.Identity()
    model = torch.nn.Sequential(net, head).to(device).train()
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, 0.9)
    loss_of, mixed = VICRegLoss(), torch.autocast(device.type, torch.bfloat16)

    def step(a, b):
        optimizer.zero_grad()
        with mixed:
            embeddings = embed(a), embed(b)
        loss = loss_of(*(z.float() for z in embeddings))
        loss.backward()
        optimizer.step()
        return loss

    def on_device(view):
        return view.to(device, memory_format=torch.channels_last)

    embed = torch.compile(model) if views == "compiled" else model
    if views == "made":
        data = pairs_of_views(torch, photographs(options), options.size, options.batch)
    else:
        shape = (options.batch, 3, options.size, options.size)
        data = [[on_device(torch.randn(shape)) for _ in range(2)]] * options.steps

    def epoch():
        for pair in data:
            loss = step(*map(on_device, pair))
        return float(loss)  # waits for the device

    return epoch


def work(contender, options) -> None:
    """Prints images a second."""
    side, views = CONTENDERS[contender]
    epoch = (lightly if side == "lightly" else ours)(views, options)
    epoch()  # traces and compiles
    fastest = math.inf
    for _ in range(options.rounds):
        begin = time.perf_counter()
        loss = epoch()
        fastest = min(fastest, time.perf_counter() - begin)
    if not math.isfinite(loss):
        raise RuntimeError(f"the loss is {loss}")
    print(options.batch * options.steps / fastest)


def in_a_process(contender, options) -> float:
    """Images a second of a contender, which has the device to itself."""
    side = CONTENDERS[contender][0]
    given = [f"--{name}={getattr(options, name)}" for name in SIZES]
    path = [str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, HERE, "--worker", *given, contender],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "KERAS_BACKEND": "" if side == "lightly" else side,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return float(done.stdout.split()[-1])


def device_name() -> str:
    """The name of the GPU, or that there is none."""
    if not shutil.which("nvidia-smi"):
        return "no GPU of Nvidia"
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True).stdout.strip()


def compare(contenders, options) -> bool:
    """Prints a table; whether every contender ended well."""
    sizes = ", ".join(f"{name} {getattr(options, name)}" for name in SIZES)
    print(f"{device_name()}; {sizes}\n")
    print("| | images/s | times lightly's step |\n| --- | --- | --- |")
    base, failures = None, []
    for contender in contenders:
        if not importlib.util.find_spec(CONTENDERS[contender][0]):
            print(f"| {contender} | not installed | |", flush=True)
            continue
        try:
            speed = in_a_process(contender, options)
        except RuntimeError as error:
            print(f"| {contender} | failed | |", flush=True)
            failures.append(f"{contender}: {error}")
            continue
        if contender == BASE:
            base = speed
        ratio = f"{speed / base:.2f}" if base else ""
        print(f"| {contender} | {speed:,.4g} | {ratio} |", flush=True)
    print(*failures, sep="\n", file=sys.stderr)
    return not failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contenders", nargs="*", metavar="CONTENDER")
    for name, default in SIZES.items():
        kind = type(default)
        parser.add_argument(f"--{name}", type=kind, default=default, help="%(default)s")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.contenders) - set(CONTENDERS)
    if unknown:
        parser.error(f"no contender: {', '.join(unknown)}; {', '.join(CONTENDERS)} are")
    if options.worker:
        work(options.contenders[0], options)
    elif not compare(options.contenders or list(CONTENDERS), options):
        sys.exit(1)


if __name__ == "__main__":
    main()
