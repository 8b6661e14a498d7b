"""Peak memory of a training step against the batch size, whole and in pieces.

    python training/benchmarks/memory.py [--backend B] [--batches 256,1024] [--views]

VICReg, ResNet-18 of width 0.25 at 32 px with the CIFAR stem, expander 512-512. With
`microbatch_size=256` the memory is that of 256 images, plus images and embeddings of
the batch, and an image takes the longer, since the forward pass is computed twice.
With `--views` the data are images, of which the device makes the views.

Each line is a process of its own; memory is the peak of the resident set over what the
process held before the first step. Of some rounds the fastest counts; the seconds of
the CPU, of all threads together, are what other work disturbs least.

What is asked is what a step needs at a time, so TensorFlow has the allocator of the
system, which gives back what is freed. Its own pool, `--pool`, keeps what it once had
and grows by regions of which the last may be little used.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

STEPS, FEATURES = 2, 512


def measure(batch_size: int, microbatch_size: int | None, arguments) -> None:
    """Prints megabytes, milliseconds an image, and those of the CPU."""
    import keras
    import numpy as np

    import keras_vicreg as kv

    keras.utils.set_random_seed(0)
    model = kv.VICReg(
        kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=0.25),
        kv.expander((FEATURES, FEATURES)),
        views=kv.TwoViews(32, recipe="vicreg_cifar") if arguments.views else None,
        microbatch_size=microbatch_size,
    )
    model.compile(keras.optimizers.SGD(0.01))
    shape = (STEPS * batch_size, 32, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    data = images if arguments.views else (images, images[:, :, ::-1])
    before = peak()
    model.fit(data, batch_size=batch_size, verbose=0)  # traces and compiles
    grown, fastest = peak() - before, (float("inf"), float("inf"))
    for _ in range(arguments.rounds):
        begin, used = time.perf_counter(), time.process_time()
        model.fit(data, batch_size=batch_size, verbose=0)
        seconds = time.perf_counter() - begin, time.process_time() - used
        fastest = tuple(map(min, fastest, seconds))
    print(grown, *(1e3 * seconds / len(images) for seconds in fastest))


def peak() -> float:
    """The largest resident set of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--batches", default="256,512,1024,2048,4096")
    parser.add_argument("--microbatch-size", type=int, default=256)
    parser.add_argument("--views", action="store_true", help="made on the device")
    parser.add_argument("--pool", action="store_true", help="TensorFlow's own memory")
    parser.add_argument("--rounds", default=3, type=int, help="default: %(default)s")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        batch_size, microbatch_size = map(int, arguments.one.split(","))
        return measure(batch_size, microbatch_size or None, arguments)
    print("batch size   microbatch   extra memory   an image   of the CPU")
    in_pieces = {}
    for batch_size in map(int, arguments.batches.split(",")):
        for microbatch_size in (0, arguments.microbatch_size):
            found = in_a_process(f"{batch_size},{microbatch_size}", arguments)
            label = f"{batch_size:>10}   {microbatch_size or 'whole':>10}"
            print(label, line(found), sep="   ", flush=True)
            if microbatch_size and found:
                in_pieces[batch_size] = found[0]
    if len(in_pieces) > 1:
        print(growth(in_pieces))


def in_a_process(one: str, arguments) -> list[float] | None:
    """Megabytes and milliseconds, or `None` where it failed."""
    environment = {**os.environ, "KERAS_BACKEND": arguments.backend}
    if not arguments.pool:
        environment["TF_ONEDNN_USE_SYSTEM_ALLOCATOR"] = "1"
    options = ["--one", one, "--rounds", str(arguments.rounds)]
    done = subprocess.run(
        [sys.executable, __file__, *options, *["--views"] * arguments.views],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if done.returncode:
        return None
    return [float(word) for word in done.stdout.split()[-3:]]


def line(found: list[float] | None) -> str:
    """Figures of a process."""
    if found is None:
        return f"{'failed':>12}"
    megabytes, *times = found
    return f"{megabytes:>9,.0f} MB" + "".join(f" {time:>7.2f} ms" for time in times)


def growth(megabytes: dict[int, float]) -> str:
    """What pieces of the largest batch take over those of the smallest."""
    small, large = min(megabytes), max(megabytes)
    more = megabytes[large] - megabytes[small]
    embeddings = 2 * 4 * FEATURES * large / 1e6
    share = (more - embeddings) / megabytes[small]
    return (
        f"In pieces {more:,.0f} MB more from {small} to {large}; embeddings are "
        f"{embeddings:.0f} of them, the rest {share:.0%}"
    )


if __name__ == "__main__":
    main()
