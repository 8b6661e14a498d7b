"""Measures a built-in preset by the pinned protocols and writes its card anew.

    python training/measure_weights.py vicreg_resnet18_cifar10 [--data-dir DIR] \
        [--frozen]

Neighbours, linear probe and quality on the data it was trained on and on the sample;
fine-tuning on 1 % and 10 % of the labels of both, beside the same network from random
weights, unless `--frozen` leaves that out: of a large network it is long without a
GPU. `--seeds` is for larger data than the sample, of which three draws are always
taken. What is run are commands that anybody can repeat; each is printed. The results
go to `run/` of the preset, and from there to its card.
"""

import argparse
import dataclasses
import json
import pathlib

import weights_table

from keras_vicreg.commands import main as cli
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets import model_card
from keras_vicreg.runs.card import NAMES

WEIGHTS = pathlib.Path(__file__).parents[1] / "weights"
SEEDS = 3  # draws of labels of the sample


def measure(name: str, data_dir: str | None, seeds: int, frozen: bool) -> None:
    """Runs the protocols and writes what they found to weights/NAME."""
    run = WEIGHTS / name / "run"
    trained_on = folders.read_manifest(WEIGHTS / name).dataset["name"]
    for data in dict.fromkeys((trained_on, "sample")):
        where = [name, "--data", data]
        if data_dir and data.startswith("tfds:"):
            where += ["--data-dir", data_dir]
        call("evaluate", *where, "--protocol", "knn,linear,quality", out=run)
        if frozen:
            continue
        count = SEEDS if data == "sample" else seeds
        for share in ("0.01", "0.1"):
            options = ["--labels", share, "--from-scratch", "--seeds", str(count)]
            call("finetune", *where, *options, out=run)
    write_card(name)


def call(command: str, *words: str, out: pathlib.Path) -> None:
    """Runs a command, whose results go to a file in `out`."""
    print("keras-vicreg", command, *words, flush=True)
    file = {"evaluate": "evaluation.json", "finetune": "finetune.json"}[command]
    code = cli.main([command, *words, "--out", str(out / file)])
    if code:
        raise SystemExit(code)


def write_card(name: str) -> None:
    """Manifest, card and the table of all presets, from the results in run/."""
    folder = WEIGHTS / name
    manifest = folders.read_manifest(folder)
    metrics = metrics_of(folder / "run", manifest.dataset["name"])
    manifest = dataclasses.replace(manifest, metrics=metrics)
    (folder / manifests.NAME).write_bytes(manifest.to_bytes())
    (folder / model_card.NAME).write_bytes(model_card.render(manifest, name))
    weights_table.README.write_text(weights_table.render())


def metrics_of(run: pathlib.Path, trained_on: str) -> list[dict]:
    """Metrics of a manifest from evaluation.json and finetune.json."""
    evaluated = json.loads((run / "evaluation.json").read_text())
    metrics = []
    for title, found in evaluated.items():
        if title.startswith("trained, on "):
            data = title.removeprefix("trained, on ")
            untrained = evaluated.get("untrained", {}) if data == trained_on else {}
            metrics += frozen_metrics(data, found, untrained)
    file = run / "finetune.json"
    tuned = json.loads(file.read_text()) if file.exists() else {}
    return metrics + [tuned_metric(title, found) for title, found in tuned.items()]


def frozen_metrics(data: str, found: dict, untrained: dict) -> list[dict]:
    """Of an encoder as it is, by protocol."""
    metrics = []
    for protocol, name in NAMES.items():
        details = interval(found[protocol])
        if protocol in untrained:
            details += f"; before training {untrained[protocol]['top1']:.4f}"
        top1 = found[protocol]["top1"]
        metrics.append(metric(name, "accuracy", top1, data, details))
    quality = found["quality"]
    details = f"of {len(quality['singular_values'])}"
    return [*metrics, metric("RankMe", "rankme", quality["rankme"], data, details)]


def tuned_metric(title: str, found: dict) -> dict:
    """Of fine-tuning; `title` is as in finetune.json."""
    share, data = title.split(" of the labels of ")
    tuned, scratch = found["pretrained"], found["from scratch"]
    seeds = len(tuned["settings"]["seeds"])
    details = (
        f"{interval(tuned)}; seeds: {seeds}; from random weights "
        f"{scratch['top1']:.4f}, {interval(scratch)}"
    )
    name = f"fine-tuned top-1, {float(share):.0%} of the labels"
    return metric(name, "accuracy", tuned["top1"], data, details)


def metric(name: str, kind: str, value: float, data: str, details: str) -> dict:
    return {
        "name": name,
        "type": kind,
        "value": round(value, 4),
        "dataset": data,
        "split": "test",
        "details": details,
    }


def interval(found: dict) -> str:
    low, high = found["top1_interval"]
    return f"95 % interval {low:.4f} to {high:.4f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--data-dir", help="where tfds: data sets are prepared")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="default: %(default)s")
    parser.add_argument("--frozen", action="store_true")
    arguments = parser.parse_args()
    measure(
        arguments.name, arguments.data_dir, arguments.seeds, frozen=arguments.frozen
    )
