"""The methods beside each other: the same network, images, number of steps and seeds.

    python training/compare_methods.py --data tfds:cifar10 --out runs/methods \
        [--methods vicreg,byol] [--epochs 20] [--seeds 1] [--jobs 1]

ResNet-18 of a quarter of the width with the stem for small images, batches of 256, and
of each method what `keras_vicreg.runs.recommended` has for it: optimizer, learning
rate, weight decay, views, heads. Equal seeds give equal first weights of the encoder
and equal orders of the images. Each training is a process of its own, `--jobs` of them
at a time. What is found goes to a file a training, `--out`/METHOD-SEED.json, beside the
encoder, and is neither trained nor measured again while it is there; what it lacks is
measured on that encoder, so that `--protocols ''` can train on one machine what another
measures. The table is printed at the end, and again by the same command.

Measured are kNN and linear probe on the test images, as `keras-vicreg evaluate` does,
RankMe of the representations, `embedding_std` of the last epoch, the median seconds of
an epoch (of the seed where it is least: other work only adds) and the peak of the
memory of the process or of the device.

A method may come with arguments of its class in place of its own, as JSON, and is then
a row of its own: `simsiam:stop_gradient=false:variance_weight=1`.

To choose a recipe, `--held-out 5000` leaves so many of the last training images out and
measures on them and not on the test images, `--rates 0.5,1,2` multiplies the learning
rates, and `--optimizers sgd:0.12,adamw:0.002` tries others, each in a file of its own.
"""

import argparse
import dataclasses
import json
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.peak_memory import peak_memory

from keras_vicreg.runs.recipes import PRECISIONS, Recipe
from keras_vicreg.runs.recommended import RECOMMENDED

HERE = Path(__file__).resolve()
PROTOCOLS = ("knn", "linear", "quality")


@dataclasses.dataclass(frozen=True)
class Training:
    """One cell of the comparison: a method, a seed, and what a search changes."""

    row: str  # METHOD[:ARGUMENT=JSON ...]
    seed: int
    rate: float = 1.0
    optimizer: str = ""  # NAME:RATE in place of the recommended one

    @property
    def method(self) -> str:
        return self.row.split(":")[0]

    @property
    def arguments(self) -> dict:
        """Of the method's class, in place of its own."""
        pairs = (text.split("=", 1) for text in self.row.split(":")[1:])
        return {name: json.loads(value) for name, value in pairs}

    @property
    def name(self) -> str:
        changes = [self.optimizer.replace(":", "-")] if self.optimizer else []
        changes += [f"x{self.rate:g}"] if self.rate != 1 else []
        row = re.sub(r"[^\w.]+", "-", self.row)
        return "-".join([row, *changes, str(self.seed)])

    @property
    def label(self) -> str:
        """What its line in the table is named."""
        changes = [self.optimizer] if self.optimizer else []
        changes += [f"{self.rate:g} times the rate"] if self.rate != 1 else []
        return ", ".join([*self.row.split(":"), *changes])

    def recipe(self, options, image_size: int) -> Recipe:
        """The whole recipe, for images of a size in pixels."""
        recipe = Recipe(
            data=options.data,
            data_dir=options.data_dir,
            method=self.method,
            encoder=options.encoder,
            stem=options.stem,
            width=options.width,
            epochs=options.epochs,
            batch_size=options.batch_size,
            precision=options.precision,
            seed=self.seed,
        )
        if self.optimizer:
            name, rate = self.optimizer.split(":")
            decay = 5e-3 if name == "sgd" else 1e-6
            recipe = dataclasses.replace(
                recipe, optimizer=name, learning_rate=float(rate), weight_decay=decay
            )
        recipe = recipe.resolved(image_size)
        arguments = (recipe.method_options or {}) | self.arguments
        recipe = dataclasses.replace(recipe, method_options=arguments or None)
        return self._scaled(recipe)

    def _scaled(self, recipe: Recipe) -> Recipe:
        """A resolved recipe with the factor of a search on its learning rate."""
        if self.rate == 1:
            return recipe
        if recipe.learning_rate is None:
            from keras_vicreg import recommended_learning_rate

            rate = recommended_learning_rate(recipe.batch_size, recipe.epochs)
            recipe = dataclasses.replace(recipe, learning_rate=rate)
        rate = recipe.learning_rate * self.rate
        return dataclasses.replace(recipe, learning_rate=rate)


# One training ----------------------------------------------------------------------


def train(training: Training, options) -> dict:
    """Trains an encoder and saves it; how that went, for JSON."""
    import keras

    import keras_vicreg as kv
    from keras_vicreg.data.batches import Batches
    from keras_vicreg.runs.pretraining import build_model

    (images, _), _ = images_of(options)
    recipe = training.recipe(options, images.shape[1])
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    batches = Batches(images, recipe.batch_size, seed=recipe.seed)
    model = build_model(recipe, steps_per_epoch=len(batches))
    clock = clock_of(keras)
    history = model.fit(batches, epochs=recipe.epochs, callbacks=[clock], verbose=0)
    kv.save_to_preset(model.encoder, options.out / training.name, plain_keras=False)
    return {
        "recipe": dataclasses.asdict(recipe),
        "parameters": model.count_params(),
        "seconds": clock.seconds,
        "memory": memory(),
        "history": history.history,
        "held_out": options.held_out,
    }


def measured(training: Training, options, protocols) -> dict:
    """What the protocols find of the encoder of a training."""
    import keras_vicreg as kv
    from keras_vicreg.evaluation.protocols import measure

    encoder = kv.from_preset(options.out / training.name)
    return measure(encoder, *images_of(options), protocols)


def images_of(options):
    """The images that are trained on and those that are tested on, with labels."""
    import keras_vicreg as kv

    def load(split):
        return kv.load_images(
            options.data,
            options.image_size,
            split=split,
            labels=True,
            data_dir=options.data_dir,
        )

    images, labels = load("train")
    if options.limit:
        images, labels = images[: options.limit], labels[: options.limit]
    if not options.held_out:
        return (images, labels), load("test")
    kept = len(images) - options.held_out
    return (images[:kept], labels[:kept]), (images[kept:], labels[kept:])


def clock_of(keras):
    """A callback that keeps the seconds of each epoch."""

    class Clock(keras.callbacks.Callback):
        seconds: list

        def on_train_begin(self, logs=None):
            self.seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.begin)

    return Clock()


def memory() -> float:
    """The peak of the memory in MB: of the device where it tells, else the process."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        if statistics_of := jax.devices()[0].memory_stats():
            return statistics_of["peak_bytes_in_use"] / 1e6
    return peak_memory()


# All of them -----------------------------------------------------------------------


def in_a_process(training: Training, options) -> None:
    """Does what a training lacks, and leaves its file."""
    if not missing(read(training, options), options):
        return
    command = [sys.executable, HERE, "--worker", json.dumps(vars(training))]
    command += [str(word) for word in options.words]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - begin
    if done.returncode:
        print(f"{training.name}: {done.stderr.strip()[-1500:]}", file=sys.stderr)
    else:
        print(f"{training.name}: {took:.0f} s", file=sys.stderr, flush=True)


def work(training: Training, options) -> None:
    """Trains, unless that was done, and measures what is missing."""
    found = read(training, options)
    if not found:
        write(found := train(training, options), training, options)
    if protocols := [name for name in options.protocols if name not in found]:
        write(found | measured(training, options, protocols), training, options)


def missing(found: dict, options) -> bool:
    return not found or any(name not in found for name in options.protocols)


def file_of(training: Training, options) -> Path:
    return options.out / f"{training.name}.json"


def read(training: Training, options) -> dict:
    """What was found, or nothing."""
    file = file_of(training, options)
    return json.loads(file.read_text()) if file.exists() else {}


def write(found: dict, training: Training, options) -> None:
    file = file_of(training, options)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(found) + "\n")
    part.rename(file)


def trainings(options) -> list[Training]:
    """What was asked for, seed by seed, so that a stop leaves whole seeds."""
    optimizers = [text for text in options.optimizers.split(",") if text] or [""]
    rates = [float(rate) for rate in options.rates.split(",")]
    return [
        Training(row, seed, rate, optimizer)
        for seed in range(options.seeds)
        for row in options.methods.split(",")
        for optimizer in optimizers
        for rate in rates
    ]


def table(found: dict[str, list[dict]]) -> str:
    """A row a method: means over its seeds, with their 95 % intervals."""
    lines = [
        "| method | kNN | linear probe | RankMe | std | seconds an epoch | MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in found.items():
        cells = [accuracy(runs, "knn"), accuracy(runs, "linear")]
        quality = [run["quality"] for run in runs if "quality" in run]
        rank = statistics.mean(q["rankme"] for q in quality) if quality else None
        cells.append(f"{rank:.1f}" if rank else "")
        std = [run["history"]["embedding_std"][-1] for run in runs]
        cells.append(f"{statistics.mean(std):.3f}")
        seconds = [
            statistics.median(run["seconds"][1:] or run["seconds"]) for run in runs
        ]
        cells.append(f"{min(seconds):.3g}")
        cells.append(f"{max(run['memory'] for run in runs):,.0f}")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def accuracy(runs: list[dict], protocol: str) -> str:
    """Percent: the mean of several seeds, the interval of their mean, or of the one."""
    rows = [run[protocol] for run in runs if protocol in run]
    if not rows:
        return ""
    values = [100 * row["top1"] for row in rows]
    if len(values) == 1:
        low, high = (100 * end for end in rows[0]["top1_interval"])
    else:
        from scipy.stats import t

        half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values)
        half /= len(values) ** 0.5
        low, high = statistics.mean(values) - half, statistics.mean(values) + half
    return f"{statistics.mean(values):.1f} % ({low:.1f} to {high:.1f})"


def compare(options) -> None:
    """Does every training and prints the table of those that ended well."""
    options.out.mkdir(parents=True, exist_ok=True)
    todo = trainings(options)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda training: in_a_process(training, options), todo))
    found = {}
    lacking = False
    for training in todo:
        row = read(training, options)
        lacking |= missing(row, options)
        if row:
            found.setdefault(training.label, []).append(row)
    print(table(found))
    if lacking:
        sys.exit(1)


def parse(words) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", default="tfds:cifar10")
    add("--data-dir")
    add("--methods", default=",".join(RECOMMENDED))
    add("--encoder", default="resnet18")
    add("--stem", choices=("imagenet", "cifar"))
    add("--width", type=float, default=0.25)
    add("--image-size", type=int)
    add("--epochs", type=int, default=20)
    add("--batch-size", type=int, default=256)
    add("--precision", choices=PRECISIONS, default="float32")
    add("--seeds", type=int, default=1)
    add("--rates", default="1", help="factors of the learning rates, a search")
    add("--optimizers", default="", help="NAME:RATE,..., a search")
    add("--held-out", type=int, default=0, metavar="IMAGES")
    add("--limit", type=int, default=0, help="so many training images")
    add("--protocols", default=",".join(PROTOCOLS))
    add("--jobs", type=int, default=1)
    add("--out", type=Path, required=True)
    add("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    options.words = words
    options.protocols = [name for name in options.protocols.split(",") if name]
    methods = {row.split(":")[0] for row in options.methods.split(",")}
    if unknown := methods - set(RECOMMENDED):
        parser.error(f"no method: {', '.join(unknown)}; {', '.join(RECOMMENDED)} are")
    return options


def main() -> None:
    options = parse(sys.argv[1:])
    if options.worker is None:
        compare(options)
    else:
        work(Training(**options.worker), options)


if __name__ == "__main__":
    main()
