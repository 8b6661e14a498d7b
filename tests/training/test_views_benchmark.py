"""`training/benchmarks/views.py` runs and prints what it measured."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_benchmark_prints_a_rate_for_each_contestant():
    pytest.importorskip("tensorflow")
    command = [sys.executable, "training/benchmarks/views.py"]
    command += ["--rounds", "1", "--images", "16", "--files", "4"]
    command += ["--cases", "32", "224", "device", "--backend", keras.config.backend()]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    rates = re.findall(r"^  (\w+) +([\d,]+) views/s", result.stdout, re.MULTILINE)
    names = [name for name, _ in rates]
    assert names.count("keras_vicreg") == 3
    assert names.count("Pillow") == 2
    assert all(int(rate.replace(",", "")) > 0 for _, rate in rates)
