"""`training/compare_methods.py`: what it prints of results, and that it trains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = Path(__file__).parents[2] / "training"


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(TRAINING)
    import compare_methods

    return compare_methods


def found(top1, seconds=(9.0, 2.0, 4.0)):
    """A training's file, as far as the table reads it."""
    accuracy = {"top1": top1, "top1_interval": [top1 - 0.01, top1 + 0.01]}
    return {
        "knn": accuracy,
        "linear": accuracy,
        "quality": {"rankme": 12.34},
        "history": {"embedding_std": [0.1, 0.5]},
        "seconds": list(seconds),
        "memory": 1234.5,
    }


def test_the_interval_is_that_of_the_seeds_where_there_are_several(compare):
    one, three = found(0.5), [found(0.5), found(0.6), found(0.7)]
    lines = compare.table({"byol": [one], "moco": three}).splitlines()
    assert lines[2] == (
        "| `byol` | 50.0 % (49.0 to 51.0) | 50.0 % (49.0 to 51.0) | 12.3 | 0.500 | 3 |"
        " 1,234 |"
    )
    # 4.303 of t with two degrees of freedom, times 10 / sqrt(3)
    assert "| 60.0 % (35.2 to 84.8) |" in lines[3]


def test_the_recipes_are_those_recommended_but_for_what_a_search_changes(compare):
    options = compare.parse(["--out", "nowhere", "--epochs", "7"])
    names = [training.name for training in compare.trainings(options)]
    assert names[:2] == ["vicreg-0", "barlow_twins-0"]
    recipe = compare.Training("simclr", 1).recipe(options, 32)
    assert (recipe.optimizer, recipe.epochs, recipe.seed) == ("sgd", 7, 1)
    other = compare.Training("simclr", 1, 0.5, "adamw:0.002")
    recipe = other.recipe(options, 32)
    assert (recipe.optimizer, recipe.learning_rate) == ("adamw", 0.001)
    assert other.name == "simclr-adamw-0.002-x0.5-1"
    lars = compare.Training("vicreg", 0, 2.0)
    recipe = lars.recipe(options, 32)
    assert recipe.learning_rate == pytest.approx(2 * 0.5)


def test_arguments_of_a_class_are_a_row_of_their_own(compare):
    text = "moco:variance_weight=0.5:momentum=null"
    words = ["--methods", f"moco,{text}", "--epochs", "7", "--out", "nowhere"]
    options = compare.parse(words)
    plain, changed = compare.trainings(options)
    assert (plain.name, changed.name) == (
        "moco-0",
        "moco-variance_weight-0.5-momentum-null-0",
    )
    assert changed.label == "moco, variance_weight=0.5, momentum=null"
    assert plain.recipe(options, 32).method_options == {"momentum": 0.99}
    expected = {"momentum": None, "variance_weight": 0.5}
    assert changed.recipe(options, 32).method_options == expected


@pytest.mark.slow
def test_it_trains_measures_and_does_nothing_twice(tmp_path):
    words = ["--data", "sample", "--width", "0.0625", "--limit", "128", "--epochs", "1"]
    words += ["--methods", "byol,simsiam", "--batch-size", "64", "--held-out", "32"]
    command = [sys.executable, "training/compare_methods.py", *words, "--out", tmp_path]

    def run(*more):
        done = subprocess.run(
            [*command, *more], cwd=TRAINING.parent, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done

    trained = run("--protocols", "").stdout
    assert trained.count("| `") == 2
    assert "%" not in trained
    encoder = tmp_path / "byol-0" / "model.safetensors"
    written = encoder.stat().st_mtime_ns
    measured = run().stdout
    assert measured.count("%") == 4
    again = run()
    assert again.stdout == measured
    assert "simsiam" not in again.stderr
    assert encoder.stat().st_mtime_ns == written
    result = json.loads((tmp_path / "byol-0.json").read_text())
    assert result["knn"]["settings"]["train_images"] == 96
    assert result["knn"]["settings"]["test_images"] == 32
