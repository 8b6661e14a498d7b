"""`training/benchmarks/gpu.py` runs, small, on whatever device there is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--encoder=resnet18", "--size=32", "--batch=4", "--units=16", "--steps=2"]
NAME = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}


def run(*arguments):
    command = [sys.executable, "training/benchmarks/gpu.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_benchmark_prints_a_rate_for_each_contender():
    name = f"Keras, {NAME[keras.config.backend()]}"
    contenders = [f"{name}, pairs", f"{name}, views on the device"]
    result = run(*SMALL, "--rounds=1", *contenders, "lightly, views given")
    assert result.returncode == 0, result.stderr
    rows = dict(re.findall(r"^\| (\w.+?) \| (.+?) \|", result.stdout, re.MULTILINE))
    assert list(rows) == [*contenders, "lightly, views given"]
    assert all(float(rows[each].replace(",", "")) > 0 for each in contenders)


def test_an_unknown_contender_is_refused_in_a_line():
    result = run("Keras")
    assert result.returncode == 2
    assert "no contender: Keras" in result.stderr
