"""`keras-vicreg pretrain --from PRESET`: the preset's network goes on."""

import json

import keras
import numpy as np
import preset_toys
import pytest
from photographs import save_splits

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.commands import main as cli
from keras_vicreg.devices.local_copy import LocalCopy
from keras_vicreg.runs.comparison import Comparison
from keras_vicreg.runs.folder import RunFolder
from keras_vicreg.runs.pretraining import build_model, load_batches
from keras_vicreg.runs.recipes import Recipe
from keras_vicreg.runs.start_from import with_network_of_preset

FEW = ["--batch-size", "16", "--epochs", "1", "--distribution", "none"]
FEW += ["--optimizer", "sgd", "--learning-rate", "1e-9"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A pretraining model, expander 16-24, that takes images of 32 px."""
    folder = tmp_path_factory.mktemp("presets") / "toy"
    zoo.save_to_preset(preset_toys.vicreg(), folder, plain_keras=False)
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return save_splits(
        tmp_path_factory.mktemp("photographs"), {"train": 40, "test": 12}
    )


def arrays(model):
    return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]


def test_a_run_goes_on_from_a_preset(preset, photographs, tmp_path, capsys):
    """At a learning rate of next to nothing, the encoder stays the preset's."""
    run = tmp_path / "run"
    options = ["pretrain", "--from", str(preset), "--data", str(photographs), *FEW]
    assert cli.main([*options, "--run-dir", str(run)]) == 0
    assert f"from {preset}, with vicreg on 40 images" in capsys.readouterr().out
    recipe = json.loads((run / "config.json").read_text())["recipe"]
    assert recipe["encoder"] == "resnet18"
    assert (recipe["stem"], recipe["width"]) == ("cifar", 1 / 16)
    assert recipe["image_size"] == 32
    assert recipe["expander"] == [16, 24]
    for kind in (None, kv.VICReg):
        before, after = (
            zoo.from_preset(str(folder), model_class=kind) for folder in (preset, run)
        )
        for old, new in zip(arrays(before), arrays(after), strict=True):
            np.testing.assert_allclose(new, old, atol=1e-4)
    results = json.loads((run / "evaluation.json").read_text())
    assert list(results) == ["raw pixels", "untrained", "preset", "trained"]
    manifest, _ = zoo.find_manifest(str(run))
    assert manifest.training["start_from"] == preset.name  # and no path
    assert "before training" in manifest.metrics[0]["details"]
    # Again, it is the same run.
    assert cli.main([*options, "--run-dir", str(run)]) == 0


def test_the_untrained_network_is_the_presets_with_random_weights(
    preset, photographs, tmp_path
):
    recipe = Recipe(start_from=str(preset), data=str(photographs), batch_size=16)
    recipe, batches = load_batches(with_network_of_preset(recipe))
    encoder = build_model(recipe, steps_per_epoch=1).encoder
    folder = RunFolder(tmp_path / "run")
    comparison = Comparison(recipe, folder, LocalCopy(encoder), batches)
    comparison.before()
    assert list(comparison.results) == ["raw pixels", "untrained", "preset"]
    fresh, again = (arrays(comparison._with_random_weights()) for _ in range(2))
    assert all(map(np.array_equal, fresh, again))
    kernels = [
        (a, b) for a, b in zip(fresh, arrays(encoder), strict=True) if a.ndim > 1
    ]
    assert kernels
    assert not any(np.array_equal(a, b) for a, b in kernels)


def test_other_widths_are_a_new_expander(preset):
    recipe = Recipe(start_from=str(preset), expander=(8, 8))
    recipe = with_network_of_preset(recipe).resolved(32)
    model = build_model(recipe, steps_per_epoch=1)
    assert model.expander.output_shape == (None, 8)
    kernels = zip(arrays(model.encoder), arrays(kv.from_preset(preset)), strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in kernels)


def test_without_an_expander_there_is_the_usual_one(tmp_path):
    zoo.save_to_preset(preset_toys.encoder(), tmp_path / "encoder")
    recipe = with_network_of_preset(Recipe(start_from=str(tmp_path / "encoder")))
    assert recipe.expander is None
    assert recipe.resolved(32).expander == (2048, 2048, 2048)


def test_the_quickstart_leaves_the_network_to_the_preset(preset, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "keras_vicreg.runs.pretraining.pretrain",
        lambda recipe, *_, **__: seen.append(recipe),
    )
    assert cli.main(["pretrain", "--from", str(preset)]) == 0
    recipe = with_network_of_preset(seen[0])
    assert (recipe.width, recipe.image_size) == (1 / 16, 32)
    assert (recipe.epochs, recipe.batch_size) == (15, 64)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--encoder", "resnet50"], "`--encoder` must be left out with `--from`"),
        (["--width", "0.5"], "`--width` must be left out"),
        (["--image-size", "64"], "be that of the preset, 32. Received: image_size=64"),
    ],
)
def test_another_network_is_refused(preset, tmp_path, capsys, option, message):
    options = ["pretrain", "--from", str(preset), *option]
    options += ["--optimizer", "adamw", "--learning-rate", "0.1"]
    assert cli.main([*options, "--run-dir", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
