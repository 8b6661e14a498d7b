"""What a run measures before and after: on which images, and that it says so."""

import json

import pytest
import toys
from photographs import save_images, save_splits

import keras_vicreg as kv
from keras_vicreg.commands import main as cli
from keras_vicreg.devices.local_copy import LocalCopy
from keras_vicreg.evaluation import knn
from keras_vicreg.runs.card import card_of
from keras_vicreg.runs.comparison import Comparison
from keras_vicreg.runs.folder import RunFolder
from keras_vicreg.runs.recipes import Recipe


def compare(data, run):
    """A comparison of a tiny encoder before and after no training."""
    recipe = Recipe(data=str(data)).resolved(16)
    encoder = toys.encoder(size=16)
    comparison = Comparison(recipe, RunFolder(run), LocalCopy(encoder), None)
    comparison.before()
    return comparison.after(), encoder, recipe


@pytest.mark.parametrize("test", ["none", "unlabelled"])
def test_without_labels_in_test_a_run_is_measured_on_validation(tmp_path, capsys, test):
    """ImageNet's layout, said so, and on the card."""
    data = save_splits(tmp_path / "data", {"train": 24, "val": 10})
    if test == "unlabelled":
        save_images(data / "test", 3)
    found, encoder, recipe = compare(data, tmp_path / "run")
    said = capsys.readouterr().out
    assert "No labelled test split: measured on the validation split." in said
    assert "Top-1 accuracy on the 10 validation images" in said
    train, validation = (
        kv.load_images(data, 16, split=split, labels=True) for split in ("train", "val")
    )
    assert found["trained"]["knn"]["top1"] == knn(encoder, train, validation).top1
    stored = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert {row["knn"]["settings"]["split"] for row in stored.values()} == {
        "validation"
    }
    metrics = card_of(recipe, found, RunFolder(tmp_path / "run"))["metrics"]
    assert {metric["split"] for metric in metrics} == {"validation"}


def test_a_labelled_test_split_comes_first_and_none_is_said_so(tmp_path, capsys):
    counts = {"Train": 24, "Valid": 10, "Testing": 6}
    data = save_splits(tmp_path / "data", counts)
    found, *_ = compare(data, tmp_path / "run")
    assert found["trained"]["knn"]["settings"]["test_images"] == 6
    said = capsys.readouterr().out
    assert "measured on" not in said
    assert "Top-1 accuracy on the 6 test images" in said
    assert compare(data / "Train", tmp_path / "other")[0] == {}
    assert "No labelled test or validation split" in capsys.readouterr().out


@pytest.mark.parametrize(
    "stored",
    [
        [],
        {"trained": []},
        {"trained": {"knn": 0.5}},
        {"trained": {"knn": {"top1": 0.5}}},
        {"trained": {"knn": {"top1": 0.5, "top1_interval": [0.4]}}},
        {"untrained": {"linear": {"top1": None, "top1_interval": [0, 1]}}},
    ],
)
def test_results_of_another_shape_are_refused_in_a_line(stored, tmp_path):
    """Before the work, in a run that goes on and where more is measured."""
    data = save_splits(tmp_path / "data", {"train": 8, "test": 4})
    run = tmp_path / "run"
    run.mkdir()
    (run / "evaluation.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"evaluation.json must hold .*Received: "):
        compare(data, run)
    encoder = tmp_path / "encoder"
    kv.save_to_preset(kv.encoder("resnet18", (16, 16, 3), width=1 / 16), encoder)
    out = ["--data", str(data), "--out", str(run / "evaluation.json")]
    assert cli.main(["evaluate", str(encoder), *out]) == 2
    assert json.loads((run / "evaluation.json").read_text()) == stored
