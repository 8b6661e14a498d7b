"""`training/benchmarks/memory.py`: pieces keep the memory nearly flat."""

import argparse
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_a_process_is_not_that_of_its_parent():
    held = bytearray(200_000_000)
    script = "from peak_memory import peak_memory; print(peak_memory())"
    command = [sys.executable, "-c", script]
    folder = ROOT / "training" / "benchmarks"
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    assert 1 < float(done.stdout) < len(held) / 2e6


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="its allocators")
@pytest.mark.parametrize(
    ("kind", "views", "largest"),
    [("in use", False, 2048), ("in use", True, 2048), ("resident", False, 4096)],
)
def test_a_larger_batch_takes_hardly_more_memory(kind, views, largest, monkeypatch):
    """In pieces. The pool shows what it is made to keep when a second step is taken."""
    monkeypatch.syspath_prepend(ROOT / "training" / "benchmarks")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    import memory

    def megabytes(batch_size):
        peak = {"in use": memory.in_use, "resident": memory.resident}[kind]
        return peak(batch_size, "256", options)

    options = argparse.Namespace(backend="tensorflow", images=2 * largest, views=views)
    small, large = map(megabytes, (256, largest))
    assert small > 100
    assert large < 1.1 * small + memory.embeddings(largest)
