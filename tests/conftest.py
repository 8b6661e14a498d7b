"""Quiet frameworks, and the tests' own modules on the path."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent / "support"))


def pytest_configure(config):
    """Two logical processors, so that replicas can be tested on any machine."""
    if config.getoption("numprocesses", None):
        return  # the process that deals out the tests runs none
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        import tensorflow as tf

        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            processor, [tf.config.LogicalDeviceConfiguration()] * 2
        )


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items):
    """Those that take longest, the other backends, begin first."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        for item in items:
            if item.get_closest_marker("slow_elsewhere"):
                item.add_marker("slow")
    items.sort(key=lambda item: not item.path.name.startswith("test_on_"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """`pytest -n 3`: files stay whole, for their fixtures, and in their order."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


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
