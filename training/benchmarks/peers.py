"""A method here and in lightly: the same network, images, batches, number of steps.

    python training/benchmarks/peers.py --peer-python PATH [--method vicreg] \
        [--seeds 3] [--epochs 5] [--images 10000]

CIFAR-10, ResNet-18 of a quarter of the width with the CIFAR stem, heads of equal
widths, the same optimizer and schedule, batches of 256. Both encoders begin with the
same weights. Each side has the views it has for such images, its own loss, head and
momentum copy, and reads images that lie in memory. A run is a process of its own; the
sides take turns, seed by seed. Counted are images per second, views included, in all
epochs but the first, which compiles; the peak of the memory of a side's processes
together (proportional set size); and what kNN and linear probe, the same for both, find
of the frozen encoder, with the images it was trained on and the 10,000 test images.

`--peer-python` is the interpreter of an environment with PyTorch, torchvision and
lightly. On a CPU build of PyTorch the wheel of torchvision with CUDA serves.
"""

import argparse
import dataclasses
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve()
WIDTH, BATCH = 0.25, 256


@dataclasses.dataclass(frozen=True)
class Setting:
    """What both sides have in common beside network, images and steps."""

    widths: tuple  # of the expander here
    lightly_widths: tuple  # hidden and last of the head there, which is as deep
    optimizer: str = "sgd"
    rate: float = 0.12
    decay: float = 5e-4


SETTINGS = {
    "vicreg": Setting((512,) * 3, (512, 512), "adamw", 1e-3, 0.004),
    "barlow_twins": Setting((2048,) * 3, (2048, 2048), "adamw", 1e-3, 0.004),
    "simclr": Setting((128, 128), (128, 128)),
    "byol": Setting((4096, 256), (4096, 256)),
}


# Ours ------------------------------------------------------------------------------


def new_encoder(seed):
    import keras

    import keras_vicreg as kv

    keras.utils.set_random_seed(seed)
    return kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=WIDTH)


def ours(method, images, epochs, seed, start, out):
    """Trains, writes the encoder to `out`; returns the seconds of each epoch."""
    import keras

    import keras_vicreg as kv
    from keras_vicreg.runs.pretraining import build_model
    from keras_vicreg.runs.recipes import Recipe

    setting = SETTINGS[method]
    recipe = Recipe(
        data="tfds:cifar10",
        method=method,
        width=WIDTH,
        expander=setting.widths,
        optimizer=setting.optimizer,
        learning_rate=setting.rate,
        # Here SGD's penalty goes past the momentum, which multiplies it by ten there.
        weight_decay=setting.decay * (10 if setting.optimizer == "sgd" else 1),
        epochs=epochs,
        batch_size=BATCH,
        seed=seed,
    ).resolved(images.shape[1])
    keras.utils.set_random_seed(seed)
    model = build_model(recipe, steps_per_epoch=len(images) // BATCH)
    seconds = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.begin)

    model.fit(images, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[Clock()])
    kv.export_torch(model.encoder, out)
    return seconds


# lightly ---------------------------------------------------------------------------


def lightly(method, images, epochs, seed, start, out):
    """The same with lightly's transform, loss and heads, and PyTorch's loader.

    `start` is the file of the weights that the encoder of `ours` begins with.
    """
    import torch
    from lightly_methods import METHODS

    sys.path.insert(0, str(HERE.parents[2] / "tests" / "support"))
    import torch_resnet

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    net = torch_resnet.TorchResNet("resnet18", stem="cifar", width=WIDTH)
    net.load_state_dict(torch.load(start))
    setting, cls = SETTINGS[method], METHODS[method]
    model = cls(normalized(torch, net), net.features, setting.lightly_widths)
    model.to(device)
    loader = pairs_of_views(torch, cls.transform(images.shape[1]), images)
    optimizer = lightly_optimizer(torch, setting, model)
    steps = len(loader) * epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(steps))
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        for a, b in loader:
            optimizer.zero_grad()
            model(a.to(device), b.to(device)).backward()
            optimizer.step()
            schedule.step()
        seconds.append(time.perf_counter() - begin)
    torch.save(net.state_dict(), out)
    return seconds


def normalized(torch, net):
    """A network of pixels for views that the transform has normalized."""
    from torch_resnet import IMAGENET_MEAN, IMAGENET_STD

    class Encode(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net
            for name, each in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
                self.register_buffer(name, torch.tensor(each)[:, None, None])

        def forward(self, x):
            pixels = (x * self.std + self.mean) * 255
            return self.net(pixels.permute(0, 2, 3, 1))  # channels come first

    return Encode()


def lightly_optimizer(torch, setting, model):
    """The optimizer of a setting; biases and normalizations do not decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    if setting.optimizer == "adamw":
        return torch.optim.AdamW(groups, setting.rate, weight_decay=setting.decay)
    return torch.optim.SGD(groups, setting.rate, 0.9, weight_decay=setting.decay)


def pairs_of_views(torch, transform, images, batch=BATCH):
    """A loader of batches of view pairs, made by a process on each core."""
    from PIL import Image

    pictures = [Image.fromarray(image) for image in images]

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return len(pictures)

        def __getitem__(self, index):
            return transform(pictures[index])

    return torch.utils.data.DataLoader(
        Pairs(),
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=len(os.sched_getaffinity(0)),
        persistent_workers=True,
    )


def warmup_cosine(steps):
    """`kv.warmup_cosine` as a factor: a tenth up, then down to a thousandth."""

    def factor(step):
        warmup = steps // 10
        if step < warmup:
            return step / warmup
        done = (step - warmup) / (steps - warmup)
        return 0.001 + 0.999 * (1 + np.cos(np.pi * done)) / 2

    return factor


# The comparison --------------------------------------------------------------------

SIDES = {"keras_vicreg": ours, "lightly": lightly}
MEASURES = ("images/s", "peak memory, MB", "kNN top-1", "linear probe top-1")


def run(side, python, data, options, seed):
    """One training in a process of its own: images per second, MB, its encoder."""
    import keras_vicreg as kv

    out = Path(data).with_name("encoder.pth")
    process = subprocess.Popen(
        [
            *(python, HERE, "--worker", side, data, out),
            *("--epochs", str(options.epochs), "--seeds", str(seed)),
            *("--method", options.method),
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(HERE.parents[2]),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    memory = Memory(process)
    found, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{side}: {errors[-2000:]}")
    speed = float(found.split()[-1])
    return speed, memory.peak, kv.convert_torch(out, new_encoder(seed))


class Memory(threading.Thread):
    """Looks twice a second at what a process and its children hold."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.peak = process, 0.0
        self.start()

    def run(self):
        while self.process.poll() is None:
            held = sum(map(proportional_size, family(self.process.pid)))
            self.peak = max(self.peak, held / 1000)
            time.sleep(0.5)


def family(pid):
    """A process and its descendants."""
    found = [pid]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # it ended meanwhile
                continue
    return found


def proportional_size(pid) -> int:
    """In kB: pages that several processes share are shared out among them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def start_file(data, seed) -> Path:
    return Path(data).with_name(f"start-{seed}.pth")


def work(side, data, out, method, epochs, seed) -> None:
    images = np.load(data)
    seconds = SIDES[side](method, images, epochs, seed, start_file(data, seed), out)
    print(len(images) // BATCH * BATCH / statistics.median(seconds[1:]))


def spread(values) -> str:
    """Mean, and in brackets the half of a 95 % interval by Student's t."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.4g}"
    from scipy import stats

    error = statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4g} (+- {stats.t.ppf(0.975, len(values) - 1) * error:.2g})"


def compare(options) -> None:
    import keras_vicreg as kv

    train, test = (
        kv.load_images(
            "tfds:cifar10", split=split, labels=True, data_dir=options.data_dir
        )
        for split in ("train", "test")
    )
    train = tuple(part[: options.images] for part in train)
    pythons = {"keras_vicreg": sys.executable, "lightly": options.peer_python}
    rows = {side: [] for side in pythons}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "images.npy")
        np.save(data, train[0])
        for seed in range(options.seeds):
            kv.export_torch(new_encoder(seed), start_file(data, seed))
            for side, python in pythons.items():
                *row, encoder = run(side, python, data, options, seed)
                row += [kv.knn(encoder, train, test).top1]
                row += [kv.linear_probe(encoder, train, test).top1]
                rows[side].append(row)
                print(side, seed, *(f"{value:.4g}" for value in row), flush=True)
    cores = len(os.sched_getaffinity(0))
    print(
        f"{options.method}, {len(train[0]):,} images of CIFAR-10, "
        f"{options.epochs} epochs, "
        f"{options.seeds} seeds, {cores} processor cores"
    )
    for number, name in enumerate(MEASURES):
        columns = [[row[number] for row in rows[side]] for side in pythons]
        ratios = [a / b for a, b in zip(*columns)]
        cells = " | ".join(map(spread, [*columns, ratios]))
        print(f"| {name} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python")
    parser.add_argument("--method", choices=SETTINGS, default="vicreg")
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker, options.method, options.epochs, options.seeds)
    elif options.epochs < 2 or not options.peer_python:
        parser.error("needs --peer-python, and two epochs at least")
    else:
        compare(options)


if __name__ == "__main__":
    main()
