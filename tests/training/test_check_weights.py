"""`training/check_weights.py` tells a card that is repeated from one that is not."""

import json
import sys
from pathlib import Path

import pytest

TRAINING = Path(__file__).parents[2] / "training"
NAME = "vicreg_resnet18_sample"


@pytest.fixture
def checked(monkeypatch, capsys):
    """Runs the check with commands that find what is published, times a factor."""
    monkeypatch.syspath_prepend(TRAINING)
    import check_weights
    import measure_weights

    published = measure_weights.WEIGHTS / NAME / "run"

    def check(factor):
        calls = []

        def call(command, *words, out):
            calls.append([command, *words])
            for name in ("evaluation.json", "finetune.json"):
                results = json.loads((published / name).read_text())
                if name == "finetune.json":
                    for found in results.values():
                        found["from scratch"]["top1"] *= factor
                (out / name).write_text(json.dumps(results))

        monkeypatch.setattr(measure_weights, "call", call)
        monkeypatch.setattr(sys, "argv", ["check_weights.py", NAME])
        with pytest.raises(SystemExit) as ended:
            check_weights.main()
        return bool(ended.value.code), calls, capsys.readouterr().out

    return check


def test_each_result_is_measured_again_as_it_was(checked):
    failed, calls, printed = checked(1.0)
    assert not failed
    assert "OUTSIDE" not in printed
    finetune = ["finetune", NAME, "--data", "sample", "--labels"]
    assert calls == [
        ["evaluate", NAME, "--data", "sample", "--protocol", "knn,linear,quality"],
        [*finetune, "0.01", "--from-scratch", "--seeds", "3"],
        [*finetune, "0.1", "--from-scratch", "--seeds", "5"],
    ]
    assert printed.count("within") == 9


def test_what_lies_outside_its_interval_is_named(checked):
    failed, _, printed = checked(1.2)
    assert failed
    outside = [line for line in printed.splitlines() if "OUTSIDE" in line]
    assert len(outside) == 2
    assert all("from scratch" in line for line in outside)
