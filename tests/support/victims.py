"""A valid preset to spoil."""

import copy
import gc
import json

import preset_toys
import pytest
from hostility import peak

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.presets import manifest as manifests


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A valid preset and its manifest as data."""
    folder = tmp_path_factory.mktemp("original") / "preset"
    zoo.save_to_preset(preset_toys.vicreg(), folder, plain_keras=False)
    zoo.from_preset(folder, model_class=kv.VICReg)
    # What other tests left behind is no part of the time that a refusal takes.
    gc.collect()
    gc.freeze()
    yield folder, json.loads((folder / manifests.NAME).read_text())
    gc.unfreeze()


@pytest.fixture
def victim(original, tmp_path):
    """A copy of the valid preset to spoil; memory is looked at in the end."""
    folder, data = original
    copied = tmp_path / "preset"
    copied.mkdir()
    for path in folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    memory = peak(anew=True)
    yield copied, copy.deepcopy(data)
    assert peak() - memory < 200e6
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]
