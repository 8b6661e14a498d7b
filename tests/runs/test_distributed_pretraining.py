"""The command line on several devices and in several processes."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import toys
from photographs import save_splits
from PIL import Image
from safetensors.numpy import load_file
from test_distribution import environments

import keras_vicreg as kv
from keras_vicreg.commands import main as cli
from keras_vicreg.runs import pretraining
from keras_vicreg.runs.recipes import Recipe

SUPPORT = Path(__file__).parents[1] / "support"
FILES = {
    "config.json",
    "history.csv",
    "evaluation.json",
    "curves.png",
    "encoder",
    "checkpoint",
}
SMALL = ["--image-size", "16", "--width", "0.0625", "--expander", "16,16"]
SMALL += ["--batch-size", "16", "--epochs", "3", "--learning-rate", "0.02"]
BOUND = 60  # seconds in which the loss of a process ends the others


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A labelled folder: no split is a multiple of the batch or of the devices."""
    return save_splits(
        tmp_path_factory.mktemp("photographs"),
        {"train": 41, "validation": 13, "test": 11},
    )


@pytest.fixture(scope="module")
def options(photographs):
    return ["--data", str(photographs), *SMALL, "--run-dir"]


@pytest.fixture(scope="module")
def alone(options, tmp_path_factory):
    """A run on one device."""
    if keras.config.backend() != "tensorflow":
        pytest.skip("of TensorFlow")
    run = tmp_path_factory.mktemp("alone") / "run"
    finish([*options, str(run), "--distribution", "none"])
    return run


@pytest.fixture(scope="module")
def together(options, tmp_path_factory):
    """A run of two processes, and what each of them printed."""
    run = tmp_path_factory.mktemp("together") / "run"
    with Processes(options, run) as processes:
        outputs = [process.communicate(timeout=300) for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [0, 0], outputs
    return run, [output for output, _ in outputs]


class Processes:
    """Two processes of one run on TensorFlow; none outlives the block.

    Args:
        options: of the command line.
        run: the run folder.
        victim: environment that is the second one's alone.
    """

    def __init__(self, options, run, **victim):
        self.processes = [
            start([*options, str(run)], **environment, **extra)
            for environment, extra in zip(environments("tensorflow", 2), [{}, victim])
        ]

    def __enter__(self):
        return self.processes

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
            process.communicate()


def start(options, **environment):
    """Starts `keras-vicreg pretrain`."""
    path = f"{Path(kv.__file__).parents[1]}:{SUPPORT}"
    return subprocess.Popen(
        [sys.executable, SUPPORT / "pretrain_process.py", *options],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(options, **environment):
    """Runs `keras-vicreg pretrain` to its end and returns what it printed."""
    process = start(options, **environment)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return output


def history(run):
    with open(run / "history.csv") as file:
        return [
            {name: float(cell) for name, cell in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


def assert_same_history(run, expected):
    assert len(history(run)) == len(history(expected))
    for found, row in zip(history(run), history(expected)):
        assert found == pytest.approx(row, abs=1e-4, rel=1e-4)


def assert_same_weights(run, expected):
    for name in ("model.safetensors", "expander.safetensors"):
        found, weights = (load_file(r / "encoder" / name) for r in (run, expected))
        assert found.keys() == weights.keys()
        for key, value in weights.items():
            np.testing.assert_allclose(found[key], value, atol=1e-5, err_msg=key)


def assert_loadable(run):
    """Every file there is can be read to its end."""
    for file in run.rglob("*"):
        if file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".npz":
            with np.load(file) as stored:
                assert all(np.isfinite(stored[name]).all() for name in stored.files)
        elif file.suffix == ".png":
            Image.open(file).load()
    assert all(np.isfinite(list(row.values())).all() for row in history(run))
    assert not [file for file in run.rglob("*") if ".part" in file.name]


@pytest.mark.slow
def test_two_devices_make_the_run_of_one(alone, options, tmp_path):
    run = tmp_path / "run"
    command = [*options, str(run), "--distribution", "mirrored"]
    assert "on 2 devices" in finish(command, CPUS="2")
    assert {path.name for path in run.iterdir()} == FILES
    assert json.loads((run / "config.json").read_text())["devices"] == 2
    assert_same_history(run, alone)
    assert_same_weights(run, alone)
    results = json.loads((run / "evaluation.json").read_text())
    assert results["trained"]["knn"]["settings"]["test_images"] == 11
    # One device loads what two have trained.
    images = toys.images(5, size=16)
    found, expected = (
        kv.embed(kv.from_preset(str(r / "encoder")), images) for r in (run, alone)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_two_processes_write_and_print_once(alone, together):
    run, (chief, other) = together
    assert {path.name for path in run.iterdir()} == FILES
    assert_loadable(run)
    assert "on 2 devices" in chief
    assert chief.count("Epoch 1 of 3: ") == 1
    assert "Top-1 accuracy on the 11 test images" in chief
    assert other == ""
    assert_same_history(run, alone)
    assert_same_weights(run, alone)
    measured = [
        {
            row: {protocol: found["top1"] for protocol, found in results.items()}
            for row, results in json.loads((r / "evaluation.json").read_text()).items()
        }
        for r in (run, alone)
    ]
    assert measured[0] == measured[1]


@pytest.mark.slow
def test_one_of_two_processes_is_killed(alone, options, tmp_path):
    run = tmp_path / "run"
    with Processes(options, run, DIES_IN_EPOCH="2") as (chief, victim):
        assert victim.wait(timeout=200) == -9
        begin = time.monotonic()
        _, errors = chief.communicate(timeout=BOUND)
        print(f"The other ended after {time.monotonic() - begin:.1f} s.")
        assert chief.returncode == 1
    line = errors.splitlines()[-1]
    assert line.startswith("keras-vicreg: error: Another process of this run")
    assert "Traceback" not in errors
    assert_loadable(run)
    assert [row["epoch"] for row in history(run)] == [1]
    assert [file.name for file in (run / "checkpoint").iterdir()] == ["epoch-0001.npz"]
    assert not (run / "encoder").exists()
    with Processes(options, run) as processes:
        outputs = [process.communicate(timeout=200) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
    assert "Going on after epoch 1 of 3" in outputs[0][0]
    assert_loadable(run)
    assert_same_history(run, alone)
    assert_same_weights(run, alone)


@pytest.mark.slow
def test_jax_on_two_devices_makes_the_run_of_one(options, tmp_path):
    if not importlib.util.find_spec("jax"):
        pytest.skip("jax is not installed")
    runs = [tmp_path / "none", tmp_path / "data_parallel"]
    for run in runs:
        output = finish(
            [*options, str(run), "--backend", "jax", "--distribution", run.name],
            XLA_FLAGS="--xla_force_host_platform_device_count=2",
        )
        assert ("on 2 devices" in output) == (run.name == "data_parallel")
        assert {path.name for path in run.iterdir()} == FILES
    assert_same_history(*runs)
    assert_same_weights(*runs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--distribution", "horovod"], "`strategy` must be one of auto, mirrored"),
        (["--microbatch-size", "48"], "must be a divisor of the batch size"),
        (["--microbatch-size", "512"], "must be a divisor of the batch size"),
    ],
)
def test_what_cannot_be_dealt_out_leaves_no_run(arguments, message, tmp_path, capsys):
    run = tmp_path / "run"
    assert cli.main(["pretrain", "--run-dir", str(run), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="of TensorFlow")
def test_an_odd_batch_for_two_devices_leaves_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"multiple of the number.*batch_size=33, 2"):
        pretraining.pretrain(
            Recipe(image_size=16, batch_size=33), tmp_path, distribution="mirrored"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pieces_from_the_command_line(options, tmp_path):
    run = tmp_path / "run"
    pieces = ["--microbatch-size", "8", "--distribution", "none", "--epochs", "1"]
    assert cli.main(["pretrain", *options, str(run), *pieces]) == 0
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"]["microbatch_size"] == 8
    assert [row["epoch"] for row in history(run)] == [1]
