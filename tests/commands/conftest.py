"""An encoder in a run folder, and photographs, for the commands that take them."""

import keras
import pytest
import toys
from photographs import save_images, save_splits


@pytest.fixture(scope="module")
def encoder():
    """A tiny encoder, 6 features."""
    keras.utils.set_random_seed(0)
    return toys.encoder(size=16)


@pytest.fixture
def run(tmp_path, encoder):
    """The folder of a run with the tiny encoder."""
    (tmp_path / "run").mkdir()
    encoder.save(tmp_path / "run" / "encoder.keras")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A labelled folder, a class a colour: 60 images to train on and 24 to test."""
    return save_splits(
        tmp_path_factory.mktemp("photographs"), {"train": 60, "test": 24}
    )


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """A flat folder of 30 images."""
    return save_images(tmp_path_factory.mktemp("unlabelled"), 30)
