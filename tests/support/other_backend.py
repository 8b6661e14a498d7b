"""Runs the tests that are marked `every_backend` on another backend than this one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

DEFAULT = "every_backend and not slow"
LONG = pytest.param("every_backend and slow", marks=pytest.mark.slow)


def check(backend: str, marks: str) -> None:
    """Fails unless they pass in a process of its own."""
    if keras.config.backend() != "tensorflow" or not importlib.util.find_spec(backend):
        pytest.skip(f"started from TensorFlow, where {backend} is installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", marks],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout[-8000:]
