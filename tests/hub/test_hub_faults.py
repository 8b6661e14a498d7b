"""A Hub that fails in every way it can: what passes is survived, what stays is told."""

import pathlib
import time

import huggingface_hub
import huggingface_hub.utils
import pytest
from hub_checks import (
    HANDLE,
    INFO,
    MANIFEST,
    REPO,
    WEIGHTS,
    assert_toy,
    holds,
    refused,
    unchanged,
)
from huggingface_hub import constants

import keras_vicreg as kv
from keras_vicreg import hub
from keras_vicreg.hub import calls, snapshot
from keras_vicreg.hub.repository import parse
from keras_vicreg.presets import errors

pytest_plugins = ["hub_fixtures"]

# What passes when it happens once, while a preset is downloaded.
DOWNLOAD_FAULTS = [
    *(("GET", INFO, kind) for kind in (500, 503, 429, "reset", "lost", "cut")),
    *(("HEAD", WEIGHTS, kind) for kind in (500, 429, "reset")),
    *(("GET", WEIGHTS, kind) for kind in (500, 503, 429, "reset", "reset body")),
    *(("GET", WEIGHTS, kind) for kind in ("cut", "short", "stall", "flip")),
    *(("GET", MANIFEST, kind) for kind in (500, "cut", "short", "flip")),
]

UPLOAD_FAULTS = [
    *(("POST", "/api/repos/create", kind) for kind in (500, 429, "reset", "lost")),
    *(("GET", INFO, kind) for kind in (500, 429, "reset")),
    *(("POST", "/validate-yaml", kind) for kind in (500, "reset")),
    *(("POST", "/preupload/", kind) for kind in (500, 429, "reset")),
    *(("POST", "/objects/batch", kind) for kind in (500, 429, "reset")),
    *(("PUT", "/lfs/", kind) for kind in (500, 429, "reset")),
    *(("POST", "/lfs/verify", kind) for kind in (500, "reset")),
    *(("POST", "/commit/", kind) for kind in (500, 503, 429, "reset", "lost", "cut")),
]


@pytest.mark.parametrize(("method", "path", "kind"), DOWNLOAD_FAULTS)
def test_faults_of_a_download_that_pass(server, toys, method, path, kind):
    server.publish(REPO, toys[0])
    server.fault(method, path, kind)
    assert_toy(kv.from_preset(HANDLE), seed=0)
    assert server.faults[0].times == 0
    # And nothing of it stays in the cache.
    server.requests.clear()
    assert_toy(kv.from_preset(HANDLE), seed=0)
    assert len(server.requests) == 1


def test_a_resumed_download_that_is_sent_all(server, toys):
    server.publish(REPO, toys[0])
    server.fault("GET", WEIGHTS, "cut")
    server.fault("GET", WEIGHTS, "no range")
    assert_toy(kv.from_preset(HANDLE), seed=0)
    assert [fault.times for fault in server.faults] == [0, 0]


@pytest.mark.parametrize(
    ("method", "path", "kind", "error"),
    [
        ("GET", INFO, 500, errors.HubConnectionError),
        ("GET", INFO, 429, errors.HubConnectionError),
        ("GET", INFO, "reset", errors.HubConnectionError),
        ("GET", WEIGHTS, 500, errors.HubConnectionError),
        ("GET", WEIGHTS, "short", errors.HubConnectionError),
        ("GET", WEIGHTS, "reset body", errors.HubConnectionError),
        ("GET", WEIGHTS, "flip", errors.CorruptPresetError),
        ("GET", MANIFEST, "flip", errors.PresetError),
        ("HEAD", WEIGHTS, 401, errors.HubAccessError),
        ("HEAD", WEIGHTS, 403, errors.HubAccessError),
        ("GET", INFO, 418, errors.PresetError),
    ],
)
def test_faults_of_a_download_that_stay(server, toys, method, path, kind, error):
    server.publish(REPO, toys[0])
    server.fault(method, path, kind, times=1000)
    refused(error, "toy", lambda: kv.from_preset(HANDLE))
    # Damage is not taken for good later, with or without the network.
    server.faults.clear()
    assert_toy(kv.from_preset(HANDLE), seed=0)


@pytest.mark.parametrize(("method", "path", "kind"), UPLOAD_FAULTS)
def test_faults_of_an_upload_that_pass(server, toys, method, path, kind):
    server.fault(method, path, kind)
    handle = hub.upload_preset(HANDLE, toys[0])
    assert server.faults[0].times == 0
    assert holds(server, toys[0])
    assert handle.partition("@")[2] == server.repositories[REPO].heads["main"]
    assert len(server.repositories[REPO].commits) == 2  # the empty one, and this


@pytest.mark.parametrize("server", ["xet"], indirect=True)
@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        *(("POST", "/commit/", kind) for kind in (500, "reset", "lost")),
        *(("GET", "/xet-write-token/", kind) for kind in (500, "reset")),
    ],
)
def test_faults_of_an_upload_by_xet_that_pass(server, toys, method, path, kind):
    server.fault(method, path, kind)
    hub.upload_preset(HANDLE, toys[0])
    assert holds(server, toys[0])
    assert len(server.repositories[REPO].commits) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", INFO),
        ("POST", "/preupload/"),
        ("POST", "/objects/batch"),
        ("PUT", "/lfs/"),
        ("POST", "/commit/"),
    ],
)
@pytest.mark.parametrize("kind", [500, "reset"])
def test_faults_of_an_upload_that_stay(server, toys, method, path, kind):
    server.publish(REPO, toys[0])
    server.fault(method, path, kind, times=1000)
    with unchanged(server):
        refused(
            errors.HubConnectionError,
            "does not answer",
            lambda: hub.upload_preset(HANDLE, toys[1]),
        )


def test_a_repository_that_cannot_be_made(server, toys):
    server.fault("POST", "/api/repos/create", 500, times=1000)
    refused(
        errors.HubConnectionError,
        "does not answer",
        lambda: hub.upload_preset(HANDLE, toys[0]),
    )
    assert not server.repositories


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/repos/create"),
        ("GET", INFO),
        ("PUT", "/lfs/"),
        ("POST", "/commit/"),
    ],
)
def test_a_silent_hub_is_not_awaited_for_ever(server, toys, monkeypatch, method, path):
    monkeypatch.setattr(calls, "SILENCE", 0.5)
    server.fault(method, path, "stall")
    start = time.perf_counter()
    hub.upload_preset(HANDLE, toys[0])
    assert time.perf_counter() - start < 10
    assert holds(server, toys[0])
    assert huggingface_hub.utils.get_session().timeout.read is None  # as it was


def test_damage_in_the_cache_is_healed_once(server, toys, monkeypatch):
    handle = f"{HANDLE}@{server.publish(REPO, toys[0])}"
    kv.from_preset(handle)
    for name in ("model.safetensors", "vicreg.json"):
        path = snapshot.cached(parse(HANDLE), name, handle[-40:])
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.resolve().write_bytes(data)
        with monkeypatch.context() as offline:
            offline.setenv("HF_HUB_OFFLINE", "1")
            refused(
                errors.HubConnectionError,
                "damaged there, and offline",
                lambda: kv.from_preset(handle),
            )
        server.requests.clear()
        assert_toy(kv.from_preset(handle), seed=0)
        assert server.count("GET", name) == 1
        server.requests.clear()
        assert_toy(kv.from_preset(handle), seed=0)
        assert server.requests == []


def test_offline(server, toys, monkeypatch):
    handle = f"{HANDLE}@{server.publish(REPO, toys[0])}"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for address in (HANDLE, handle):
        refused(
            errors.HubConnectionError,
            "not in the cache",
            lambda address=address: kv.from_preset(address),
        )
    monkeypatch.delenv("HF_HUB_OFFLINE")
    kv.from_preset(HANDLE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.requests.clear()
    for address in (HANDLE, handle):
        assert_toy(kv.from_preset(address), seed=0)
    refused(
        errors.HubConnectionError,
        "offline",
        lambda: kv.from_preset(HANDLE, "v2"),
    )
    assert server.requests == []


@pytest.mark.parametrize("server", ["xet"], indirect=True)
def test_damage_in_the_store_of_xet_is_noticed(server, toys):
    hub.upload_preset(HANDLE, toys[0])
    for path in pathlib.Path(server.xet).rglob("default.*"):
        if path.suffix != ".tagset":
            data = bytearray(path.read_bytes())
            for place in range(100, len(data) - 100, 100):
                data[place] ^= 1
            path.write_bytes(data)
    with pytest.raises(kv.PresetError):
        kv.from_preset(HANDLE)


def test_a_damaged_card_in_the_cache_is_not_published(server, toys, tmp_path):
    hub.upload_preset(HANDLE, toys[0])
    hub.pull(HANDLE, tmp_path / "a")
    path = snapshot.cached(parse(HANDLE), "README.md", "main")
    path.resolve().write_bytes(path.read_bytes().replace(b"A toy", b"A boy"))
    hub.upload_preset(HANDLE, toys[1])
    assert b"A boy" not in server.files(REPO)["README.md"]


def test_offline_from_the_start_of_the_program(server, toys, monkeypatch):
    server.publish(REPO, toys[0])
    kv.from_preset(HANDLE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_toy(kv.from_preset(HANDLE), seed=0)
    for frozen in (True, False):  # or set later
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", frozen)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        refused(
            errors.HubConnectionError,
            "offline mode",
            lambda: hub.upload_preset(HANDLE, toys[1]),
        )


def test_no_network(server, toys, monkeypatch):
    server.publish(REPO, toys[0])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused(
        errors.HubConnectionError,
        "Try again later",
        lambda: kv.from_preset(HANDLE),
    )
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    kv.from_preset(HANDLE)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="Taken from the cache"):
        assert_toy(kv.from_preset(HANDLE), seed=0)


def test_what_is_gone_from_the_hub_is_not_served_from_the_cache(server, toys):
    handle = f"{HANDLE}@{server.publish(REPO, toys[0])}"
    kv.from_preset(HANDLE)
    del server.repositories[REPO]
    refused(errors.PresetNotFoundError, "no repository", lambda: kv.from_preset(HANDLE))
    assert_toy(kv.from_preset(handle), seed=0)  # but for the very commit


def test_files_of_one_commit(server, toys, monkeypatch):
    """A push between the manifest and the weights changes nothing for the reader."""
    server.publish(REPO, toys[0])
    read = snapshot.Snapshot.read

    def late(self, manifest, name):
        monkeypatch.setattr(snapshot.Snapshot, "read", read)
        hub.upload_preset(HANDLE, toys[1])
        return self.read(manifest, name)

    monkeypatch.setattr(snapshot.Snapshot, "read", late)
    assert_toy(kv.from_preset(HANDLE), seed=0)
    assert_toy(kv.from_preset(HANDLE), seed=1)
