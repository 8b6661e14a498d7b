"""What each method is trained with unless a recipe says otherwise."""

import json

import keras
import numpy as np
import pytest
from photographs import save_splits

import keras_vicreg as kv
from keras_vicreg.commands import main as cli
from keras_vicreg.commands.methods import table
from keras_vicreg.runs.pretraining import build_model
from keras_vicreg.runs.recipes import OPTIMIZERS, Recipe
from keras_vicreg.runs.recommended import RECOMMENDED, sgd
from keras_vicreg.views.recipes import RECIPES

SIZES = [32, 96]


def test_every_method_that_pretrains_has_defaults():
    assert set(RECOMMENDED) == set(kv.METHODS) - {"scan"}
    for method in RECOMMENDED.values():
        for of in (method.small, method.large):
            assert of.optimizer in OPTIMIZERS
            assert of.views in RECIPES


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", RECOMMENDED)
def test_a_recipe_takes_what_is_recommended(method, size):
    recipe = Recipe(method=method, batch_size=512).resolved(size)
    of = RECOMMENDED[method].small if size == 32 else RECOMMENDED[method].large
    assert (recipe.optimizer, recipe.views) == (of.optimizer, of.views)
    assert (recipe.weight_decay, recipe.expander) == (of.weight_decay, of.expander)
    assert recipe.method_options == of.options
    assert recipe.learning_rate == (of.rate and 2 * of.rate)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", RECOMMENDED)
def test_the_class_takes_the_options(method, size):
    options = Recipe(method=method).resolved(size).method_options or {}
    encoder = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()]
    )
    model = kv.METHODS[method](encoder, (16, 8), **options)
    assert options.items() <= {**model.get_config(), **model.options}.items()


def test_what_is_asked_for_counts():
    asked = {
        "views": "simclr",
        "expander": (8, 4),
        "optimizer": "adamw",
        "learning_rate": 0.5,
        "weight_decay": 0.25,
        "method_options": {"temperature": 0.75},
    }
    recipe = Recipe(method="simclr", **asked).resolved(32)
    assert {name: getattr(recipe, name) for name in asked} == asked
    model = build_model(
        Recipe(method="simclr", width=1 / 16, **asked).resolved(8), steps_per_epoch=10
    )
    assert model.temperature == 0.75
    assert model.expander.output_shape == (None, 4)
    assert isinstance(model.optimizer, keras.optimizers.AdamW)


def test_another_optimizer_has_no_decay_of_the_recommended_one():
    recipe = Recipe(method="moco", optimizer="adamw", learning_rate=0.001)
    assert recipe.resolved(32).weight_decay == 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "scan"}, "`method` must be one of vicreg, .*method='scan'"),
        (
            {"optimizer": "adamw"},
            "other than that of vicreg, lars up to 64 px",
        ),
        ({"method": "moco", "optimizer": "lars"}, "other than that of moco, sgd"),
        (
            {"method": "simclr", "optimizer": "lars", "image_size": 32},
            "other than that of simclr, sgd up to 64 px and lars for larger images",
        ),
    ],
)
def test_a_rate_that_nobody_knows_is_asked_for(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options)


def test_the_decay_of_sgd_is_the_penalty_of_pytorch():
    """Without a gradient the weights shrink alike, but for the first steps."""
    rate, penalty, steps = 0.1, 5e-4, 2000
    weight, buffer = 1.0, 0.0
    for _ in range(steps):  # torch.optim.SGD(momentum=0.9, weight_decay=penalty)
        buffer = 0.9 * buffer + penalty * weight
        weight -= rate * buffer
    ours = (1 - rate * sgd(rate, penalty, "moco").weight_decay) ** steps
    assert weight == pytest.approx(ours, rel=0.01)


@pytest.mark.parametrize(
    "method",
    [
        name if name == "moco" else pytest.param(name, marks=pytest.mark.slow)
        for name in RECOMMENDED
    ],
)
def test_a_run_of_each_method(method, tmp_path):
    """From the command line to a preset; of small batches W-MSE makes no slices."""
    photographs = save_splits(tmp_path / "photographs", {"train": 32, "test": 8})
    run = tmp_path / "run"
    words = ["--data", str(photographs), "--image-size", "16", "--width", "0.0625"]
    words += ["--epochs", "1", "--batch-size", "16", "--run-dir", str(run)]
    words += ["--distribution", "none"]
    code = cli.main(["pretrain", "--method", method, *words])
    if method == "wmse":
        assert code == 2
        return
    assert code == 0
    recipe = json.loads((run / "config.json").read_text())["recipe"]
    assert recipe["method_options"] == RECOMMENDED[method].small.options
    assert recipe["optimizer"] == RECOMMENDED[method].small.optimizer
    model = kv.METHODS[method].from_preset(str(run))
    image = np.zeros((1, 16, 16, 3), "uint8")
    assert np.isfinite(model.predict(image, verbose=0)).all()
    report = ["report", str(run), "--out", str(tmp_path / "report.html")]
    assert cli.main(report) == 0
    assert method in (tmp_path / "report.html").read_text()


def test_the_table_names_every_method_in_80_columns(capsys):
    assert cli.main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\n".join(lines) == table()
    assert max(map(len, lines)) <= 80
    for method in RECOMMENDED:
        assert sum(line.startswith(f"{method} ") for line in lines) == 2
