"""What earlier versions wrote loads for ever: models, presets, runs."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from make_saved import RUN, images

import keras_vicreg as kv
from keras_vicreg.commands.main import main

SAVED = Path(__file__).parent / "saved"
LOAD = """
import sys
import keras
import keras_vicreg as kv
kv.VICReg
model = keras.saving.load_model(sys.argv[1])
optimizer = model.optimizer
print(type(model.views).__name__, type(optimizer).__name__, int(optimizer.iterations))
"""


def expected(name):
    return np.load(SAVED / f"{name}.npy")


def close(found, name):
    np.testing.assert_allclose(found, expected(name), rtol=1e-3, atol=1e-5)


@pytest.mark.every_backend
def test_a_model_with_its_views_and_its_optimizer():
    model = keras.saving.load_model(SAVED / "model.keras")
    close(model.predict(images(), verbose=0), "embeddings")
    assert isinstance(model.views, kv.TwoViews)
    assert isinstance(model.optimizer, kv.LARS)
    model.fit(images(), batch_size=2, verbose=0)
    assert int(model.optimizer.iterations) == 4


def test_a_model_where_its_method_alone_was_named():
    """The method brings the classes of views and optimizers that its files name."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, SAVED / "model.keras"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["TwoViews", "LARS", "2"], done.stderr[-2000:]


@pytest.mark.every_backend
def test_a_preset():
    encoder = kv.from_preset(SAVED / "preset")
    close(encoder.predict(images(), verbose=0), "representations")
    model = kv.VICReg.from_preset(SAVED / "preset")
    close(model.predict(images(), verbose=0), "embeddings")


def rows(path):
    with open(path) as file:
        return [
            {key: float(value) for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(file)
        ]


def test_a_run_that_was_killed_goes_on(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(SAVED / "run", run)
    assert main(["pretrain", *RUN, "--run-dir", str(run)]) == 0
    before, resumed = rows(run / "history.csv")
    whole = rows(SAVED / "whole.csv")
    assert before == whole[0]
    assert resumed == pytest.approx(whole[1], rel=0.05)
    assert kv.from_preset(run).output_shape == (None, 32)
