r"""Peak memory of a training step against the batch size, whole and in pieces.

    python training/benchmarks/memory.py [--backend B] [--batches 256,1024]

VICReg, ResNet-18 of width 0.25 at 32 px with the CIFAR stem, expander 512-512. With
`microbatch_size=256` the memory is that of 256 images, plus images and embeddings of
the batch, and an image takes the longer, since the forward pass is computed twice.
Each line is a process of its own; memory is the peak of the resident set over what the
process held before the first step. Of some rounds the fastest counts; the seconds of
the CPU, of all threads together, are what other work disturbs least.

TensorFlow's pool keeps what it once had and grows by regions of which the last may be
little used. What is in use at a time shows with the system's allocator, which gives
back what is freed (and with slower convolutions, so not for the times):

    TF_ENABLE_ONEDNN_OPTS=0 MALLOC_MMAP_THRESHOLD_=65536 \
        python training/benchmarks/memory.py --batches 256,4096
"""

import argparse
import os
import resource
import subprocess
import sys
import time

STEPS, ROUNDS = 2, 3


def measure(batch_size: int, microbatch_size: int | None) -> None:
    """Prints megabytes, milliseconds an image, and those of the CPU."""
    import keras
    import numpy as np

    import keras_vicreg as kv

    keras.utils.set_random_seed(0)
    model = kv.VICReg(
        kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=0.25),
        kv.expander((512, 512)),
        microbatch_size=microbatch_size,
    )
    model.compile(keras.optimizers.SGD(0.01))
    shape = (STEPS * batch_size, 32, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    views = images, images[:, :, ::-1]
    before = peak()
    model.fit(views, batch_size=batch_size, verbose=0)  # traces and compiles
    grown, fastest = peak() - before, (float("inf"), float("inf"))
    for _ in range(ROUNDS):
        begin, used = time.perf_counter(), time.process_time()
        model.fit(views, batch_size=batch_size, verbose=0)
        seconds = time.perf_counter() - begin, time.process_time() - used
        fastest = tuple(map(min, fastest, seconds))
    print(grown, *(1e3 * seconds / len(images) for seconds in fastest))


def peak() -> float:
    """The largest resident set of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--batches", default="256,512,1024,2048,4096")
    parser.add_argument("--microbatch-size", type=int, default=256)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        batch_size, microbatch_size = map(int, arguments.one.split(","))
        return measure(batch_size, microbatch_size or None)
    print("batch size   microbatch   extra memory   an image   of the CPU")
    for batch_size in map(int, arguments.batches.split(",")):
        for microbatch_size in (0, arguments.microbatch_size):
            done = subprocess.run(
                [sys.executable, __file__, "--one", f"{batch_size},{microbatch_size}"],
                env={**os.environ, "KERAS_BACKEND": arguments.backend},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            if done.returncode:
                figures = f"{'failed':>12}"
            else:
                megabytes, *times = map(float, done.stdout.split()[-3:])
                figures = f"{megabytes:>9,.0f} MB"
                figures += "".join(
                    f" {milliseconds:>7.2f} ms" for milliseconds in times
                )
            print(
                f"{batch_size:>10}   {microbatch_size or 'whole':>10}   {figures}",
                flush=True,
            )


if __name__ == "__main__":
    main()
