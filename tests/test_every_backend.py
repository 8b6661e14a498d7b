"""The tests marked `every_backend`, on the backends this process does not run."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.timeout(1200)
def test_backend(backend):
    if backend == keras.config.backend():
        pytest.skip("this is the backend all tests run on")
    pytest.importorskip(backend)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "every_backend and not slow"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
