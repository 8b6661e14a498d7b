"""Runs the tests that are marked `every_backend` on another backend than this one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

DEFAULT = "every_backend and not slow"
# JAX compiles a program once, of the many tests that make the same one.
COMPILED_ONCE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
LONG = pytest.param("every_backend and slow", marks=pytest.mark.slow)


def check(backend: str, marks: str, folder: Path) -> None:
    """Fails unless they pass in a process of its own, which may write in `folder`."""
    if keras.config.backend() != "tensorflow" or not importlib.util.find_spec(backend):
        pytest.skip(f"started from TensorFlow, where {backend} is installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", marks],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            **COMPILED_ONCE,
            "KERAS_BACKEND": backend,
            "JAX_COMPILATION_CACHE_DIR": str(folder),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout[-8000:]
