"""Quiet frameworks, and the tests' own modules on the path."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent))

# The backends that test_every_backend.py runs beside that of this process.
OTHERS = [
    backend
    for backend in ("jax", "torch")
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
    and importlib.util.find_spec(backend)
]


def pytest_configure(config):
    """Two logical processors, so that replicas can be tested on any machine."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        import tensorflow as tf

        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            processor, [tf.config.LogicalDeviceConfiguration()] * 2
        )


def pytest_collection_modifyitems(items):
    """Those that wait for other processes come last."""
    items.sort(key=_waits)


@pytest.fixture(scope="session", autouse=True)
def other_backends(request, tmp_path_factory):
    """`{(backend, marks): (process, its output)}`: what `test_every_backend.py` awaits.

    They take as long as all the rest, and are started first to run beside it.
    """
    started, folder = {}, tmp_path_factory.mktemp("backends")
    for item in filter(_waits, request.session.items):
        backend, marks = (item.callspec.params[name] for name in ("backend", "marks"))
        output = folder / f"{len(started)}.txt"
        with open(output, "w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", "-m", marks],
                cwd=Path(__file__).parents[1],
                env={**os.environ, "KERAS_BACKEND": backend},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        started[backend, marks] = process, output
    yield started
    for process, _ in started.values():
        process.kill()
        process.wait()


@pytest.fixture
def labelled(tmp_path):
    """Two classes in two splits; the test split has photographs of one of them."""
    from photographs import photograph, write

    for split, names in {"train": ("cat", "ant"), "test": ("cat",)}.items():
        for name in names:
            for number in range(3):
                path = tmp_path / split / name / f"{number}.png"
                write(path, photograph(len(name) + number))
    return tmp_path


def _waits(item) -> bool:
    return item.path.name == "test_every_backend.py"
