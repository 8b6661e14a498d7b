"""Peak memory of a step against the batch size: whole, recomputed, in pieces.

    python training/benchmarks/memory.py [--backend B] [--batches 256,1024] [--views]

VICReg, ResNet-18 of width 0.25 at 32 px with the CIFAR stem, expander 512-512, epochs
of as many images whatever the batch. With `remat` the encoder keeps a few of its
activations. With `microbatch_size=256` the memory is that of 256 images, plus images
and embeddings of the batch. An image takes the longer with either, since the forward
pass is computed twice, with `remat` but for its last segment. With `--views` the data
are images, of which the device makes the views.

Memory is the peak of the resident set over what the process held before the first
step, in processes of their own. "Resident": as TensorFlow is, with its pool, which
keeps what it once had; this is what a user's process takes. "In use": with the
allocator of the system, which gives back what is freed. Times are with the pool; of
some rounds the fastest counts. The seconds of the CPU, of all threads together, are
what other work disturbs least.
"""

import argparse
import os
import subprocess
import sys
import time

from peak_memory import peak_memory

FEATURES = 512


def measure(batch_size: int, way: str, arguments) -> None:
    """Prints megabytes, milliseconds an image, and those of the CPU."""
    import keras
    import numpy as np

    import keras_vicreg as kv
    from keras_vicreg.rematerialization import rematerialize

    keras.utils.set_random_seed(0)
    encoder = kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=0.25)
    if way == "remat":
        rematerialize(encoder)
    model = kv.VICReg(
        encoder,
        kv.expander((FEATURES, FEATURES)),
        views=kv.TwoViews(32, recipe="vicreg_cifar") if arguments.views else None,
        microbatch_size=int(way) if way.isdecimal() else None,
    )
    model.compile(keras.optimizers.SGD(0.01))
    shape = (arguments.images, 32, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    data = images if arguments.views else (images, images[:, :, ::-1])
    before = peak_memory()
    model.fit(data, batch_size=batch_size, verbose=0)  # traces and compiles
    grown, fastest = peak_memory() - before, (float("inf"), float("inf"))
    for _ in range(arguments.rounds):
        begin, used = time.perf_counter(), time.process_time()
        model.fit(data, batch_size=batch_size, verbose=0)
        seconds = time.perf_counter() - begin, time.process_time() - used
        fastest = tuple(map(min, fastest, seconds))
    print(grown, *(1e3 * seconds / len(images) for seconds in fastest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--batches", default="256,1024,4096")
    parser.add_argument("--microbatch-size", type=int, default=256)
    parser.add_argument("--images", type=int, default=8192, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--views", action="store_true", help="made on the device")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        batch_size, way = arguments.one.split(",")
        return measure(int(batch_size), way, arguments)
    print("batch size          way      in use    resident   an image   of the CPU")
    in_pieces = {"In use": {}, "Resident": {}}
    for batch_size in map(int, arguments.batches.split(",")):
        for way in ("whole", "remat", str(arguments.microbatch_size)):
            print(f"{batch_size:>10}   {way:>10}", end="   ")
            used = in_use(batch_size, way, arguments)
            resident, *times = in_a_process(batch_size, way, arguments)
            print(f"{used:>6,.0f} MB   {resident:>6,.0f} MB", end="")
            print(*(f" {time:>7.2f} ms" for time in times), flush=True)
            if way.isdecimal():
                in_pieces["In use"][batch_size] = used
                in_pieces["Resident"][batch_size] = resident
    for title, megabytes in in_pieces.items():
        if len(megabytes) > 1:
            print(f"{title}, in pieces, {growth(megabytes)}")


def in_use(batch_size: int, way: str, arguments) -> float:
    """Megabytes at the peak, with nothing kept that is not needed."""
    once = argparse.Namespace(**{**vars(arguments), "rounds": 0})
    return in_a_process(batch_size, way, once, TF_ONEDNN_USE_SYSTEM_ALLOCATOR="1")[0]


def in_a_process(batch_size: int, way: str, arguments, **environment) -> list[float]:
    """Megabytes and milliseconds; not a number where it failed."""
    options = ["--one", f"{batch_size},{way}"]
    options += ["--images", str(arguments.images), "--rounds", str(arguments.rounds)]
    done = subprocess.run(
        [sys.executable, __file__, *options, *["--views"] * arguments.views],
        env={**os.environ, "KERAS_BACKEND": arguments.backend, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if done.returncode:
        return [float("nan")] * 3
    return [float(word) for word in done.stdout.split()[-3:]]


def growth(megabytes: dict[int, float]) -> str:
    """What pieces of the largest batch take over those of the smallest."""
    small, large = min(megabytes), max(megabytes)
    more = megabytes[large] - megabytes[small]
    rest = (more - embeddings(large)) / megabytes[small]
    return (
        f"{more:,.0f} MB more from {small} to {large}: embeddings "
        f"{embeddings(large):.0f} MB, the rest {rest:.0%}"
    )


def embeddings(batch_size: int) -> float:
    """Megabytes of the embeddings of two views."""
    return 2 * batch_size * FEATURES * 4 / 1e6


if __name__ == "__main__":
    main()
