"""`--encoder` with a backbone from elsewhere: the same run, kept as plain Keras."""

import hashlib
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import toys
from photographs import save_splits

import keras_vicreg as kv
from keras_vicreg.commands import main as cli
from keras_vicreg.runs.pretraining import build_encoder
from keras_vicreg.runs.recipes import Recipe

FEW = ["--expander", "16,16", "--batch-size", "16", "--epochs", "1"]
FEW += ["--learning-rate", "0.1", "--run-dir", "run"]
MODULE = """
import keras

def backbone(image_shape):
    x = keras.Input(image_shape)
    y = keras.layers.Conv2D(6, 3, strides=2)(keras.layers.Rescaling(1 / 255)(x))
    return keras.Model(x, keras.layers.BatchNormalization(momentum=0.9)(y))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with labelled photographs and a module with a backbone."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "my_backbone.py").write_text(MODULE)
    save_splits(folder / "photos", {"train": 20, "test": 8})
    return folder


@pytest.fixture
def run(place, monkeypatch):
    """The folder of a finished run on it; made once."""
    monkeypatch.chdir(place)
    options = ["pretrain", "--data", "photos", "--encoder", "my_backbone:backbone"]
    if not Path("run").exists():
        assert cli.main([*options, *FEW]) == 0
    yield Path("run"), [*options, *FEW]
    sys.modules.pop("my_backbone", None)


def test_the_encoder_is_kept_as_plain_keras(run):
    folder, _ = run
    assert not (folder / "encoder").exists()
    encoder = keras.saving.load_model(folder / "encoder.keras")
    assert encoder.input_shape == (None, 16, 16, 3)
    assert encoder.output_shape == (None, 6)
    assert not list(folder.glob(".*"))


def test_the_configuration_names_what_was_trained(run):
    folder, _ = run
    config = json.loads((folder / "config.json").read_text())
    assert Recipe(**config["recipe"]).encoder == "my_backbone:backbone"
    assert config["recipe"]["stem"] is None
    source = config["encoder_source"]
    assert source["file"] == str(Path("my_backbone.py").resolve())
    assert source["sha256"] == hashlib.sha256(MODULE.encode()).hexdigest()


def test_run_again_it_has_nothing_to_do(run, capsys):
    _, options = run
    assert cli.main(options) == 0
    assert "Going on after epoch 1 of 1" in capsys.readouterr().out


def test_evaluate_finds_what_the_run_found(run):
    folder, _ = run
    before = json.loads((folder / "evaluation.json").read_text())
    for handle in ("run", "run/encoder.keras"):
        options = ["evaluate", handle, "--data", "photos", "--out", "results.json"]
        assert cli.main(options) == 0
        found = json.loads(Path("results.json").read_text())["trained, on photos"]
        assert found["knn"]["top1"] == before["trained"]["knn"]["top1"]


def test_a_kept_encoder_is_trained_on(run):
    """What it has learned is where the next run begins."""
    folder, _ = run
    kept = kv.embed(
        keras.saving.load_model(folder / "encoder.keras"), toys.images(size=16)
    )
    recipe = Recipe(data="photos", encoder="run/encoder.keras").resolved(16)
    again = kv.embed(build_encoder(recipe), toys.images(size=16))
    np.testing.assert_array_equal(again, kept)


def test_such_a_run_is_no_preset(run, capsys):
    with pytest.raises(kv.PresetError, match="There is no preset"):
        kv.from_preset("run")
    assert cli.main(["push", "run", "hf://user/repo", "--dry-run"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--encoder", "applications:ResNet51"], "must be one of"),
        (["--encoder", "none.keras"], "The file must exist"),
        (["--encoder", "no_such_module:f"], "must be importable"),
        (["--encoder", "my_backbone:other"], "must hold a function 'other'"),
        (
            ["--encoder", "my_backbone:backbone", "--width", "0.5"],
            "unless `--encoder` is",
        ),
        (["--encoder", "vit_tiny", "--stem", "cifar"], "unless `--encoder` is a"),
    ],
)
def test_what_names_no_backbone_is_refused(options, message, run, capsys):
    options = ["pretrain", "--data", "photos", *options, *FEW[:-1], "bad"]
    assert cli.main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    # Corrected, the command can use the same folder.
    assert not Path("bad").exists()
