"""`training/benchmarks/memory.py`: pieces keep the memory in use nearly flat."""

import argparse
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="its allocators")
@pytest.mark.parametrize("views", [False, True])
def test_a_larger_batch_takes_hardly_more_memory_in_pieces(views, monkeypatch):
    """Of what is in use, not of what TensorFlow's pool keeps."""
    monkeypatch.syspath_prepend(ROOT / "training" / "benchmarks")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    import memory

    options = argparse.Namespace(backend="tensorflow", images=2048, views=views)
    small, large = (memory.in_use(size, 256, options) for size in (256, 2048))
    assert small > 100
    assert large < 1.15 * small + memory.embeddings(2048)
