"""What tests of the Hub name and look at."""

import contextlib
import functools
import pathlib

import keras
import numpy as np
import preset_toys
import pytest

import keras_vicreg as kv
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests

REPO = "user/toy"
HANDLE = f"hf://{REPO}"
ROOT = pathlib.Path(__file__).parents[2]
WEIGHTS = r"/resolve/.*/model\.safetensors"
MANIFEST = r"/resolve/.*/vicreg\.json"
INFO = r"/api/models/user/toy/revision/"


both_transports = pytest.mark.parametrize("server", ["lfs", "xet"], indirect=True)


@functools.cache
def expected_outputs(seed):
    return preset_toys.outputs(preset_toys.encoder(seed))


def close_to(model, seed):
    assert_close(preset_toys.outputs(model), expected_outputs(seed))


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@functools.cache
def expected_weights(seed):
    return weights(preset_toys.encoder(seed))


def weights(model):
    return [keras.ops.convert_to_numpy(v.value) for v in model.weights]


def assert_toy(model, seed):
    """That a model is the toy of this seed, in every weight."""
    for got, expected in zip(weights(model), expected_weights(seed), strict=True):
        np.testing.assert_array_equal(got, expected)


def holds(server, folder, revision="main"):
    """Whether a branch holds exactly the preset of a folder."""
    manifest = folders.read_manifest(folder)
    repository = server.repositories[REPO]
    files = repository.commits[repository.resolve(revision)]
    entries = {name: {"sha256": b.sha256, "size": b.size} for name, b in files.items()}
    known = {name: entries[name] for name in entries if name in manifests.FILES}
    same = server.content(files["vicreg.json"]) == manifest.to_bytes()
    return known == manifest.files and same


def refused(error, message, action):
    with pytest.raises(error, match=message) as caught:
        action()
    assert isinstance(caught.value, kv.PresetError)
    assert "\n" not in str(caught.value)


@contextlib.contextmanager
def unchanged(server):
    before = dict(server.repositories[REPO].heads) if server.repositories else {}
    yield
    after = dict(server.repositories[REPO].heads) if server.repositories else {}
    assert after == before


def files_of(folder):
    files = folders.read_manifest(folder).files
    return {name: entry["sha256"] for name, entry in files.items()}
