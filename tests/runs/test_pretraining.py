"""The main job: from the command line to a run folder, and what it refuses."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from photographs import photograph, save_splits, write
from PIL import Image

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.callbacks import OnlineKNN
from keras_vicreg.commands import main as cli
from keras_vicreg.runs.recipes import QUICKSTART, Recipe

FILES = {
    "config.json",
    "history.csv",
    "evaluation.json",
    "curves.png",
    "encoder",
    "checkpoint",
}
SMALL = ["--image-size", "16", "--width", "0.0625", "--expander", "16,16"]
SMALL += ["--batch-size", "16", "--epochs", "2", "--learning-rate", "0.1"]
SMALL += ["--distribution", "none"]  # the two devices here are tested elsewhere


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A labelled folder: 40 images to train on, 12 to validate and 12 to test."""
    return save_splits(
        tmp_path_factory.mktemp("photographs"),
        {"train": 40, "validation": 12, "test": 12},
    )


@pytest.fixture(scope="module")
def watched():
    """What the online kNN of the finished run was given: train, validation."""
    return []


@pytest.fixture(scope="module")
def finished(photographs, watched, tmp_path_factory):
    """A finished run on them, started beside them."""

    def online_knn(*splits, **options):
        watched.extend(splits)
        return OnlineKNN(*splits, **options)

    run = tmp_path_factory.mktemp("runs") / "run"
    options = ["pretrain", "--data", photographs.name, *SMALL, "--run-dir", str(run)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kv.callbacks, "OnlineKNN", online_knn)
        patch.chdir(photographs.parent)
        assert cli.main(options) == 0
    return run


def test_the_run_folder_holds_all_files(finished):
    assert {path.name for path in finished.iterdir()} == FILES
    assert [path.name for path in (finished / "checkpoint").iterdir()] == [
        "epoch-0002.npz"
    ]
    assert not list(finished.rglob("*.part"))


def test_the_configuration_repeats_the_run(finished):
    config = json.loads((finished / "config.json").read_text())
    recipe = Recipe(**config["recipe"])
    assert recipe.resolved(16) == recipe  # nothing is left to a default
    assert config["images"] == 40
    assert config["versions"]["keras"] == keras.__version__
    assert config["versions"]["keras_vicreg"] == kv.__version__


def test_the_data_are_found_from_any_folder(finished, photographs):
    config = json.loads((finished / "config.json").read_text())
    assert config["recipe"]["data"] == str(photographs)


def test_the_validation_split_is_watched_and_not_the_test_split(
    finished, watched, photographs
):
    for (images, labels), split in zip(watched, ("train", "validation"), strict=True):
        expected = kv.load_images(photographs, 16, split=split, labels=True)
        np.testing.assert_array_equal(images, expected[0])
        np.testing.assert_array_equal(labels, expected[1])


def test_the_history_has_a_row_an_epoch(finished):
    with open(finished / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == [1, 2]
    terms = {"loss", "invariance", "variance", "covariance", "embedding_std"}
    assert terms | {"seconds", "knn_top1"} <= set(rows[0])
    assert all(np.isfinite(float(row[name])) for row in rows for name in terms)


def test_the_evaluation_compares_with_untrained_and_pixels(finished):
    results = json.loads((finished / "evaluation.json").read_text())
    assert {name: list(row) for name, row in results.items()} == {
        "raw pixels": ["knn"],
        "untrained": ["knn", "linear"],
        "trained": ["knn", "linear"],
    }
    for row in results.values():
        assert all(0 <= found["top1"] <= 1 for found in row.values())
        assert all(found["settings"]["test_images"] == 12 for found in row.values())


def test_the_curves_are_a_picture_of_the_run(finished):
    with Image.open(finished / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (650, 1000, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_the_encoder_is_a_preset(finished, photographs):
    encoder = kv.from_preset(str(finished / "encoder"))
    images = kv.load_images(photographs, image_size=16)
    assert encoder.predict(images, verbose=0).shape == (40, 32)


def test_the_card_holds_what_was_measured(finished, photographs):
    found = json.loads((finished / "evaluation.json").read_text())
    manifest, _ = zoo.find_manifest(str(finished))
    values = {metric["name"]: metric["value"] for metric in manifest.metrics}
    assert values == {
        "kNN top-1": round(found["trained"]["knn"]["top1"], 4),
        "linear probe top-1": round(found["trained"]["linear"]["top1"], 4),
    }
    assert manifest.training["epochs"] == 2
    assert "curves.png" in manifest.files
    # The name of the data, and no path of the machine it was trained on.
    assert manifest.dataset == {"name": photographs.name}
    assert str(photographs) not in (finished / "encoder" / "README.md").read_text()


def test_run_again_it_has_nothing_to_do(finished, photographs, capsys):
    before = (finished / "history.csv").read_text()
    options = ["pretrain", "--data", str(photographs), *SMALL]
    assert cli.main([*options, "--run-dir", str(finished)]) == 0
    assert "Going on after epoch 2 of 2" in capsys.readouterr().out
    assert (finished / "history.csv").read_text() == before


def test_another_recipe_in_the_same_folder_is_refused(finished, photographs, capsys):
    options = ["pretrain", "--data", str(photographs), *SMALL, "--seed", "7"]
    assert cli.main([*options, "--run-dir", str(finished)]) == 2
    error = capsys.readouterr().err
    assert "seed=7, not 0" in error
    assert len(error.splitlines()) == 1


def test_killed_it_resumes_to_the_same_history(finished, photographs, tmp_path):
    """A run whose process dies in its second epoch ends as one that did not."""
    code = (
        "import os, keras\n"
        "from keras_vicreg.commands import main as cli\n"
        "from keras_vicreg.runs import folder as run_folder\n"
        "class Dies(run_folder.HistoryFile):\n"
        "    def on_train_batch_end(self, batch, logs=None):\n"
        "        if self.params['epochs'] == 2 and self._epoch == 1: os._exit(9)\n"
        "    def on_epoch_begin(self, epoch, logs=None):\n"
        "        self._epoch = epoch; super().on_epoch_begin(epoch, logs)\n"
        "run_folder.HistoryFile = Dies\n"
        "import sys; sys.exit(cli.main(sys.argv[1:]))"
    )
    run = tmp_path / "run"
    options = ["pretrain", "--data", str(photographs), *SMALL, "--run-dir", str(run)]
    killed = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True
    )
    assert killed.returncode == 9, killed.stderr[-2000:]
    assert len((run / "history.csv").read_text().splitlines()) == 2
    assert cli.main(options) == 0
    for name in ("loss", "knn_top1"):
        values = []
        for folder in (finished, run):
            with open(folder / "history.csv") as file:
                values.append([float(row[name]) for row in csv.DictReader(file)])
        assert values[0] == pytest.approx(values[1], rel=1e-4), name


def test_an_unlabelled_folder_trains_without_evaluation(photographs, tmp_path, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    for index, file in enumerate((photographs / "train").rglob("*.png")):
        (flat / f"{index}.png").write_bytes(file.read_bytes())
    run = tmp_path / "run"
    options = ["pretrain", "--data", str(flat), *SMALL, "--run-dir", str(run)]
    assert cli.main(options) == 0
    assert "nothing to compare" in capsys.readouterr().out
    assert {path.name for path in run.iterdir()} == FILES - {"evaluation.json"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "no/such/folder"], "no such folder"),
        (["--encoder", "resnet19"], "resnet19"),
        (["--method", "vicrec"], "`--method` must be one of"),
        (["--views", "vicrec"], "`--views` must be one of"),
        (["--batch-size", "5000"], "batch_size=5000, 3068 images"),
        (["--batch-size", "1"], "--batch-size: must be an integer of at least 2"),
        (["--epochs", "0"], "--epochs: must be"),
        (["--epochs", "many"], "--epochs: must be an integer"),
        (["--expander", "512,"], "--expander"),
        (["--expander", "0"], "--expander: must be"),
        (
            ["--encoder", "resnet18", "--optimizer", "adamw"],
            "`--learning-rate` must be",
        ),
        (["--learning-rate", "0"], "--learning-rate: must be"),
        (["--learning-rate", "nan"], "--learning-rate: must be"),
        (["--weight-decay", "-1"], "--weight-decay: must be"),
        (["--weight-decay", "nan"], "--weight-decay: must be"),
        (["--warmup-epochs", "inf"], "--warmup-epochs: must be"),
        (["--warmup-epochs", "15"], "`--warmup-epochs` must be less than `--epochs`"),
        (["--from", "no-such-preset"], "no-such-preset"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(options, message, tmp_path, capfd):
    run = tmp_path / "run"
    try:
        code = cli.main(["pretrain", *options, "--run-dir", str(run)])
    except SystemExit as end:
        code = end.code
    error = capfd.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("keras-vicreg")]
    assert code == 2
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in error


def test_a_run_folder_that_is_a_file_is_refused(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["pretrain", "--run-dir", str(file)])
    assert "argument --run-dir: must be a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_no_space_left_loses_no_earlier_result(photographs, finished, tmp_path):
    """Files may not grow beyond 20 kB: the checkpoint cannot be written."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [
            *(sys.executable, "-m", "keras_vicreg.commands.main", "pretrain"),
            *("--data", str(photographs), *SMALL, "--run-dir", str(run)),
        ],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr.splitlines()[-1]
    assert (run / "notes.txt").read_text() == "mine"
    assert json.loads((run / "config.json").read_text())["images"] == 40
    assert not list((run / "checkpoint").glob("epoch-*"))


def test_the_quickstart_is_a_recipe():
    assert Recipe(**QUICKSTART).data == "sample"
    assert Path(cli.__file__).exists()


def test_evaluate_repeats_what_the_run_found(finished, photographs, capsys):
    before = json.loads((finished / "evaluation.json").read_text())
    options = ["evaluate", str(finished), "--data", str(photographs)]
    assert cli.main([*options, "--protocol", "knn,linear"]) == 0
    after = json.loads((finished / "evaluation.json").read_text())
    name = f"trained, on {photographs}"
    assert after == {**before, name: after[name]}
    assert after[name]["knn"]["top1"] == before["trained"]["knn"]["top1"]
    assert f"{after[name]['knn']['top1']:.1%}" in capsys.readouterr().out
    (finished / "evaluation.json").write_text(json.dumps(before))


def test_evaluate_a_preset_writes_where_it_is_told(
    finished, photographs, tmp_path, capsys
):
    out = tmp_path / "results.json"
    options = ["evaluate", str(finished / "encoder"), "--data", str(photographs)]
    assert cli.main([*options, "--out", str(out)]) == 0
    assert list(json.loads(out.read_text())[f"trained, on {photographs}"]) == [
        "knn",
        "measured on",
    ]


def test_evaluate_refuses_an_unknown_protocol(finished, capsys):
    assert cli.main(["evaluate", str(finished), "--protocol", "knn,magic"]) == 2
    assert "Received: magic" in capsys.readouterr().err


@pytest.fixture(scope="module")
def large_photographs(photographs, tmp_path_factory):
    """The same folder, four times as large, one file of each split damaged."""
    folder = tmp_path_factory.mktemp("large")
    for path in photographs.rglob("*.png"):
        file = folder / path.relative_to(photographs)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((64, 64)).save(file)
    for split in ("train", "test"):
        file = folder / split / "class0" / "00.png"
        file.write_bytes(file.read_bytes()[:3000])
    return folder


def test_views_of_large_photographs_come_from_the_files(
    large_photographs, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("tensorflow")
    run = tmp_path / "run"
    options = ["pretrain", "--data", str(large_photographs), *SMALL]
    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setattr(kv, "load_images", None)  # nothing as an array
        assert cli.main([*options, "--run-dir", str(run)]) == 0
    assert "on the 11 test images" in capsys.readouterr().out
    said = " ".join(str(warning.message) for warning in caught)
    for split in ("train", "test"):  # once, in all that measures and trains
        assert said.count(str(Path(split, "class0", "00.png"))) == 1
    results = json.loads((run / "evaluation.json").read_text())
    assert list(results) == ["untrained", "trained"]
    for row in results.values():
        counts = [found["settings"]["train_images"] for found in row.values()]
        assert counts == [39, 39]
    assert {path.name for path in run.iterdir()} == FILES
    there = ["evaluate", str(run), "--data", str(large_photographs)]
    assert cli.main([*there, "--protocol", "knn,linear"]) == 0
    stored = json.loads((run / "evaluation.json").read_text())
    again = stored[f"trained, on {large_photographs}"]
    for protocol in ("knn", "linear"):
        assert again[protocol] == results["trained"][protocol]
    history = (run / "history.csv").read_text().splitlines()
    # Run again, it finds nothing left to do.
    assert cli.main([*options, "--run-dir", str(run)]) == 0
    assert (run / "history.csv").read_text().splitlines() == history


def test_a_run_on_photographs_that_cannot_be_decoded_is_refused(tmp_path, capsys):
    pytest.importorskip("tensorflow")
    data = tmp_path / "data"
    for number in range(20):
        path = data / f"{number}.jpg"
        write(path, photograph(number, (64, 64)), quality=90)
        if number > 8:
            path.write_bytes(path.read_bytes()[:-200])
    options = [
        "pretrain",
        "--data",
        str(data),
        *SMALL,
        "--run-dir",
        str(tmp_path / "r"),
    ]
    assert cli.main(options) == 2
    refusal = "error: At most 0.5 of the images may be unreadable (`--max-unreadable`)"
    assert refusal in (text := capsys.readouterr().err)
    assert "20 images, of which " in text
    with pytest.raises(SystemExit):
        cli.main([*options, "--max-unreadable", "1.5"])
    assert "--max-unreadable: must be a number, 0 to 1" in capsys.readouterr().err
