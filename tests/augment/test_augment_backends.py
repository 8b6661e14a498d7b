"""Equal parameters, equal pixels: TensorFlow, JAX and PyTorch side by side."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import augmented_pixels
import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
OTHERS = [
    name
    for name in ("tensorflow", "jax", "torch")
    if name != keras.config.backend() and importlib.util.find_spec(name)
]


@pytest.mark.skipif(not OTHERS, reason="only one backend is installed")
def test_equal_parameters_give_equal_pixels(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, augmented_pixels.__file__, tmp_path / f"{backend}.npz"],
            env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        )
        for backend in OTHERS
    ]
    ours = augmented_pixels.pixels()
    assert [process.wait() for process in processes] == [0] * len(OTHERS)
    for backend in OTHERS:
        theirs = np.load(tmp_path / f"{backend}.npz")
        assert set(theirs) == set(ours)
        for name in ours:
            difference = np.abs(ours[name] - theirs[name]).max()
            assert difference <= 1e-4, f"{name} on {backend}: {difference} of 255"
