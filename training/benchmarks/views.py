"""Views per second beside the authors' pipeline on Pillow, torchvision and lightly.

    python training/benchmarks/views.py [--backend jax] [--cases 32 224 epoch]

Contestants run in turn, in one run, with the recipe of the VICReg paper:

- 32: photographs of the sample, at 32 px in memory, in batches of 256;
- 224: views of 224 px from JPEG files of 400 x 400 px, decoding included. The files
  are mosaics of the sample's photographs;
- epoch: an epoch of the quickstart, of images and of pairs of views made before: the
  difference is what views cost of it;
- device: views of 224 px of batches of 256 x 256 px that lie on the device, ours
  alone. Left out where there is no GPU, unless it is asked for.

Ours runs as in training: `kv.TwoViews` on batches, `TwoViews.from_files` for files, the
start of its pipeline counted in. The others run in one process a core and keep their
views there as 8-bit images: neither sending them to a trainer nor making tensors of
them is counted. "Pillow" is the authors' pipeline with nothing but Pillow and NumPy.
"""

import argparse
import concurrent.futures
import functools
import math
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

BATCH = 256
PASSES = 4  # over the large files in a round: the start of a pipeline takes 0.4 s
CORES = len(os.sched_getaffinity(0))


# The authors' pipeline on Pillow ---------------------------------------------------


def random_box(width, height, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """torchvision's `RandomResizedCrop.get_params`: left, top, right, bottom."""
    for _ in range(10):
        area = width * height * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    w, h = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def turn_hue(image, turn):
    hue, saturation, value = image.convert("HSV").split()
    shift = np.uint8(int(turn * 255) % 256)
    hue = Image.fromarray(np.asarray(hue) + shift)
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def jitter(image):
    factor = random.uniform
    changes = [
        lambda x: ImageEnhance.Brightness(x).enhance(factor(0.6, 1.4)),
        lambda x: ImageEnhance.Contrast(x).enhance(factor(0.6, 1.4)),
        lambda x: ImageEnhance.Color(x).enhance(factor(0.8, 1.2)),
        lambda x: turn_hue(x, factor(-0.1, 0.1)),
    ]
    random.shuffle(changes)
    for change in changes:
        image = change(image)
    return image


def pillow_view(image, size, blur, solarize):
    image = image.crop(random_box(*image.size))
    image = image.resize((size, size), Image.Resampling.BICUBIC)
    if random.random() < 0.5:
        image = ImageOps.mirror(image)
    if random.random() < 0.8:
        image = jitter(image)
    if random.random() < 0.2:
        image = image.convert("L").convert("RGB")
    if random.random() < blur:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
    if random.random() < solarize:
        image = ImageOps.solarize(image, 128)
    return image


def pillow_pair(image, size):
    return pillow_view(image, size, 1.0, 0.0), pillow_view(image, size, 0.1, 0.2)


# The same with other libraries -----------------------------------------------------


@functools.cache
def torchvision_pair(size):
    from torchvision import transforms as t

    def view(blur, solarize):
        return t.Compose(
            [
                t.RandomResizedCrop(size, interpolation=t.InterpolationMode.BICUBIC),
                t.RandomHorizontalFlip(),
                t.RandomApply([t.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
                t.RandomGrayscale(0.2),
                t.RandomApply([t.Lambda(pillow_blur)], blur),
                t.RandomSolarize(128, solarize),
            ]
        )

    first, second = view(1.0, 0.0), view(0.1, 0.2)
    return lambda image: (first(image), second(image))


def pillow_blur(image):
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


@functools.cache
def lightly_pair(size):
    from lightly.transforms import VICRegTransform

    return VICRegTransform(size)


PEERS = {
    "Pillow": pillow_pair,
    "torchvision": lambda image, size: torchvision_pair(size)(image),
    "lightly": lambda image, size: lightly_pair(size)(image),
}


def peer_views(name, sources, size):
    """Runs in a process of its own: views of arrays or of image files."""
    for source in sources:
        if isinstance(source, str):
            image = Image.open(source).convert("RGB")
        else:
            image = Image.fromarray(source)
        PEERS[name](image, size)


def can_run(name):
    """Runs in a process of its own: whether the library is there and works."""
    try:
        peer_views(name, [np.zeros((8, 8, 3), "uint8")], 8)
    except (ImportError, RuntimeError):
        return False
    return True


# Contestants: functions that make two views of each of `sources` -------------------


def peer(pool, name, sources, size):
    def run():
        shares = [sources[core::CORES] for core in range(CORES)]
        list(pool.map(functools.partial(peer_views, name), shares, [size] * CORES))

    return run


def ours_from_batches(batches, size):
    import keras

    import keras_vicreg as kv

    views = kv.TwoViews(size, "vicreg", seed=0)

    def run():
        for batch in batches:
            pair = views(batch)
        keras.ops.convert_to_numpy(pair[1][0, 0, 0])  # waits for the device

    return run


def ours_from_files(paths, size):
    import keras_vicreg as kv

    views = kv.TwoViews(size, "vicreg", seed=0)
    dataset = views.from_files(paths).batch(32).prefetch(2)

    def run():
        for _ in dataset:
            pass

    return run


# The cases -------------------------------------------------------------------------


def small_images(pool, peers, options, folder):
    import keras_vicreg as kv

    images = kv.load_images("sample", 32)[: options.images]
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    contestants = {"keras_vicreg": ours_from_batches(batches, 32)}
    contestants |= {name: peer(pool, name, list(images), 32) for name in peers}
    race("32 px, in memory", contestants, 2 * len(images), options.rounds)


def large_files(pool, peers, options, folder):
    import keras_vicreg as kv

    paths = mosaics(folder, options.files, kv.load_images("sample"))
    size = sum(map(os.path.getsize, paths)) / len(paths)
    title = f"224 px, from {len(paths)} files of 400 x 400 px, {size / 1000:.0f} kB"
    paths *= PASSES
    contestants = {"keras_vicreg": ours_from_files(paths, 224)}
    contestants |= {name: peer(pool, name, paths, 224) for name in peers}
    race(title, contestants, 2 * len(paths), options.rounds)


def quickstart_epoch(pool, peers, options, folder):
    import keras

    from keras_vicreg.data.batches import Batches
    from keras_vicreg.runs import pretraining
    from keras_vicreg.runs.recipes import QUICKSTART, Recipe

    recipe, images = pretraining.load_batches(Recipe(**QUICKSTART))
    model = pretraining.build_model(recipe, len(images))
    pairs = map(keras.ops.convert_to_numpy, model.views(images.arrays[0]))
    pairs = Batches(tuple(pairs), recipe.batch_size)

    def epoch(data):
        return lambda: model.fit(data, verbose=0)

    contestants = {"keras_vicreg": epoch(images), "pairs made": epoch(pairs)}
    views = 2 * len(images) * recipe.batch_size
    ours, made = race("an epoch", contestants, views, options.rounds)
    print(f"  of an epoch of {ours:.2f} s, views take {1 - made / ours:.0%}")


def on_the_device(pool, peers, options, folder):
    import keras

    shape = (min(BATCH, options.images), 256, 256, 3)
    batch = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    batches = [keras.ops.convert_to_tensor(batch)] * 10
    contestants = {"keras_vicreg": ours_from_batches(batches, 224)}
    race("224 px, on the device", contestants, 20 * len(batch), options.rounds)


CASES = {
    "32": small_images,
    "224": large_files,
    "epoch": quickstart_epoch,
    "device": on_the_device,
}


def mosaics(folder, count, images):
    """Writes JPEG files of 400 x 400 px, each of 49 photographs of the sample."""
    rng = np.random.default_rng(0)
    for number in range(count):
        tiles = images[rng.choice(len(images), 49, replace=False)]
        tiles = tiles.reshape(7, 7, *images.shape[1:])
        sheet = np.concatenate(np.concatenate(tiles, axis=1), axis=1)[:400, :400]
        Image.fromarray(sheet).save(Path(folder, f"{number}.jpg"), quality=85)
    return sorted(str(path) for path in Path(folder).iterdir())


def race(title, contestants, views, rounds):
    """Times the contestants in turn; prints and returns the medians."""
    for run in contestants.values():
        run()
    seconds = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    print(title)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ours = medians["keras_vicreg"]
    for name, median in medians.items():
        spread = (max(seconds[name]) - min(seconds[name])) / median
        print(
            f"  {name:14}{views / median:10,.0f} views/s, spread {spread:4.0%}, "
            f"{median / ours:6.2f} times our time",
            flush=True,
        )
    return medians.values()


def has_gpu(backend):
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    if backend == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--cases", nargs="+", choices=CASES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2816)
    parser.add_argument("--files", type=int, default=800)
    options = parser.parse_args()
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    context = multiprocessing.get_context("spawn")
    with (
        concurrent.futures.ProcessPoolExecutor(CORES, context) as pool,
        tempfile.TemporaryDirectory() as folder,
    ):
        peers = [name for name, runs in zip(PEERS, pool.map(can_run, PEERS)) if runs]
        gpu = has_gpu(options.backend)
        print(f"{options.backend}, {CORES} processor cores, {'a' if gpu else 'no'} GPU")
        cases = [case for case in CASES if gpu or case != "device"]
        for case in options.cases or cases:
            CASES[case](pool, peers, options, folder)


if __name__ == "__main__":
    main()
