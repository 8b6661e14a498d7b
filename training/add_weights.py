"""Publishes the encoder of a finished run as a built-in preset.

    python training/add_weights.py runs/sample vicreg_resnet18_sample "What it is." \
        [--encoder-only]

Weights become float16, config.json, history.csv and evaluation.json of the run go
along in `run/`, and weights/README.md is written anew. The metrics of the card are
those of the float32 encoder of the run; a test measures the preset itself. An expander
that would double the size can be left out.
"""

import argparse
import json
import pathlib
import shutil

import weights_table

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import model_card

WEIGHTS = pathlib.Path(__file__).parents[1] / "weights"
LIMITS = (
    "Trained on few and small images: a start for fine-tuning and a subject for "
    "experiments, no general feature extractor."
)


def add(run: pathlib.Path, name: str, description: str, whole: bool = True) -> None:
    """Writes weights/NAME from a run folder.

    Args:
        run: folder of a finished run.
        name: of the preset.
        description: a sentence for the card.
        whole: whether to keep the expander too. Defaults to `True`.
    """
    manifest, _ = zoo.find_manifest(str(run))
    curves = run / "curves.png"
    method = kv.METHODS[manifest.training["method"]]
    kv.save_to_preset(
        (method.from_preset if whole else kv.from_preset)(str(run)),
        WEIGHTS / name,
        dtype="float16",
        plain_keras=False,
        description=description,
        license="apache-2.0",
        limits=LIMITS,
        training=manifest.training,
        dataset=manifest.dataset,
        metrics=manifest.metrics,
        **({"curves": curves} if curves.exists() else {}),
    )
    manifest = folders.read_manifest(WEIGHTS / name)
    (WEIGHTS / name / "README.md").write_bytes(model_card.render(manifest, name))
    target = WEIGHTS / name / "run"
    target.mkdir(exist_ok=True)
    for file in ("history.csv", "evaluation.json"):
        shutil.copyfile(run / file, target / file)
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["data_dir"] = None  # where the data lay is nobody's business
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights_table.README.write_text(weights_table.render())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("name")
    parser.add_argument("description")
    parser.add_argument("--encoder-only", action="store_true")
    arguments = parser.parse_args()
    whole = not arguments.encoder_only
    add(arguments.run, arguments.name, arguments.description, whole)
