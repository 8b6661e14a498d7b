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
allocator of the system, which gives back what is freed. Times are with the pool: those
processes take turns, an epoch each, and the fastest of some rounds counts, as the time
itself and, in brackets, in times of the whole batch. The seconds of the CPU, of all
threads together, are what other work disturbs least.
"""

import argparse

from peak_memory import peak_memory
from turns import Worker, take_turns

FEATURES = 512
NOT_THERE = float("nan")


def work(batch_size: int, way: str, arguments) -> None:
    """Prints megabytes after one epoch; then each turn is one."""
    import keras
    import numpy as np

    import keras_vicreg as kv
    from keras_vicreg.devices.rematerialization import rematerialize

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
    print(peak_memory() - before, flush=True)
    take_turns(lambda: model.fit(data, batch_size=batch_size, verbose=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--batches", default="256,1024,4096")
    parser.add_argument("--microbatch-size", type=int, default=256)
    parser.add_argument("--images", type=int, default=8192, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--views", action="store_true", help="made on the device")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        batch_size, way = arguments.worker
        return work(int(batch_size), way, arguments)
    print("batch size        way      in use    resident", end="")
    print("      time of an image        of the CPU")
    in_pieces = str(arguments.microbatch_size)
    growing = {"In use": {}, "Resident": {}}
    for batch_size in map(int, arguments.batches.split(",")):
        rows = compare(batch_size, ("whole", "remat", in_pieces), arguments)
        for title, megabytes in zip(growing, rows[in_pieces]):
            growing[title][batch_size] = megabytes
    for title, megabytes in growing.items():
        if len(megabytes) > 1:
            print(f"{title}, in pieces, {growth(megabytes)}")


def compare(batch_size: int, ways, arguments) -> dict:
    """Prints the rows of one batch size: megabytes, and times in turns."""
    rows = {way: [in_use(batch_size, way, arguments)] for way in ways}
    workers = {}
    for way, row in rows.items():
        workers[way] = start(batch_size, way, arguments)
        row += workers[way].read() or [NOT_THERE]
    best = {way: (float("inf"), float("inf")) for way in ways}
    for _ in range(arguments.rounds):
        for way, worker in workers.items():
            taken = worker.turn() or (NOT_THERE, NOT_THERE)
            best[way] = tuple(map(min, taken, best[way]))
    for way, worker in workers.items():
        worker.end()
        print(f"{batch_size:>10} {way:>10}", end="")
        print(*(f" {megabytes:>7,.0f} MB" for megabytes in rows[way]), end="")
        for seconds, base in zip(best[way], best["whole"]):
            milliseconds = 1e3 * seconds / arguments.images
            print(f" {milliseconds:>7.2f} ms ({seconds / base:.2f})", end="")
        print(flush=True)
    return rows


def in_use(batch_size: int, way: str, arguments) -> float:
    """Megabytes at the peak, with nothing kept that is not needed."""
    return resident(batch_size, way, arguments, TF_ONEDNN_USE_SYSTEM_ALLOCATOR="1")


def resident(batch_size: int, way: str, arguments, **environment) -> float:
    """Megabytes at the peak; not a number where it failed."""
    worker = start(batch_size, way, arguments, **environment)
    [megabytes] = worker.read() or [NOT_THERE]
    worker.end()
    return megabytes


def start(batch_size: int, way: str, arguments, **environment) -> Worker:
    """The process that trains so, and prints megabytes when it has begun."""
    options = ["--images", str(arguments.images), *["--views"] * arguments.views]
    options += ["--worker", str(batch_size), way]
    environment["KERAS_BACKEND"] = arguments.backend
    return Worker([__file__, *options], **environment)


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
