"""A Hub to test with, and two presets to publish there."""

import time

import huggingface_hub
import huggingface_hub.utils
import preset_toys
import pytest
from hub_server import HubServer
from huggingface_hub import constants

from keras_vicreg import zoo


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Two presets: a pretraining model, and an encoder with other weights."""
    folder = tmp_path_factory.mktemp("toys")
    zoo.save_to_preset(preset_toys.vicreg(seed=0), folder / "toy", **preset_toys.CARD)
    zoo.save_to_preset(preset_toys.encoder(seed=1), folder / "other")
    return folder / "toy", folder / "other"


@pytest.fixture(scope="module")
def short_waits(tmp_path_factory):
    """What the client waits between its tries is not what is tested here."""
    sleep = time.sleep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
        patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
        patch.setenv("HF_XET_CACHE", str(tmp_path_factory.mktemp("xet")))
        huggingface_hub.utils.disable_progress_bars()
        yield
    huggingface_hub.utils.enable_progress_bars()


@pytest.fixture
def server(short_waits, request, tmp_path, monkeypatch):
    """A Hub, and a user who is logged in there with an empty cache."""
    transport = getattr(request, "param", "lfs")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", transport == "lfs")
    monkeypatch.setenv("HF_TOKEN", "writer")
    xet = tmp_path / "store" if transport == "xet" else None
    with HubServer(xet) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
