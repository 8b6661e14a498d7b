"""The tests marked `every_backend`, on the backends this process does not run."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

OTHERS = [
    name
    for name in ("tensorflow", "jax", "torch")
    if name != keras.config.backend() and importlib.util.find_spec(name)
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One process a backend, side by side: `{backend: (process, its output)}`."""
    folder = tmp_path_factory.mktemp("backends")
    started = {}
    for backend in OTHERS:
        output = folder / backend
        with open(output, "w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", "-m"]
                + ["every_backend and not slow"],
                cwd=Path(__file__).parents[1],
                env={**os.environ, "KERAS_BACKEND": backend},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        started[backend] = process, output
    yield started
    for process, _ in started.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.timeout(1500)
def test_backend(backend, runs):
    process, output = runs[backend]
    code = process.wait()
    text = output.read_text()
    print(text.splitlines()[-1])
    assert code == 0, text[-8000:]
