"""Who may do what on the Hub, and what is there at all."""

import re
import shutil

import pytest
from hub_checks import HANDLE, REPO, assert_toy, refused, unchanged
from hub_storage import Blob
from huggingface_hub import constants

import keras_vicreg as kv
from keras_vicreg import hub
from keras_vicreg.presets import errors

pytest_plugins = ["hub_fixtures"]


@pytest.mark.parametrize(
    ("token", "error", "message"),
    [
        (None, errors.HubAccessError, "takes a token"),
        ("nobody", errors.HubAccessError, "does not accept the token"),
        ("reader", errors.HubAccessError, "write permission"),
        ("stranger", errors.HubAccessError, "write permission"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_tokens_that_may_not_write(
    server, toys, monkeypatch, token, error, message, exists
):
    if exists:
        server.publish(REPO, toys[0])
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    with unchanged(server):
        refused(error, message, lambda: hub.upload_preset(HANDLE, toys[1], token=token))


def test_private_repositories(server, toys, monkeypatch):
    hub.upload_preset(HANDLE, toys[0], private=True)
    assert server.repositories[REPO].private
    hub.upload_preset(HANDLE, toys[1], private=True)
    assert_toy(kv.from_preset(HANDLE), seed=1)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    for token in (None, "stranger"):
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        refused(
            errors.PresetNotFoundError, "it is private", lambda: kv.from_preset(HANDLE)
        )
    monkeypatch.setenv("HF_TOKEN", "nobody")
    refused(
        errors.HubAccessError, "not accept the token", lambda: kv.from_preset(HANDLE)
    )


def test_nothing_private_is_pushed_to_a_public_repository(server, toys):
    server.publish(REPO, toys[0])
    with unchanged(server):
        refused(
            errors.PresetError,
            "exists and is public",
            lambda: hub.upload_preset(HANDLE, toys[1], private=True),
        )


def test_gated_repositories(server, toys, monkeypatch):
    server.publish(REPO, toys[0])
    server.repositories[REPO].gated = True
    assert_toy(kv.from_preset(HANDLE), seed=0)
    shutil.rmtree(constants.HF_HUB_CACHE)
    monkeypatch.setenv("HF_TOKEN", "stranger")
    refused(errors.HubAccessError, "ask for access at", lambda: kv.from_preset(HANDLE))


def test_what_is_not_there(server, toys):
    refused(errors.PresetNotFoundError, "no repository", lambda: kv.from_preset(HANDLE))
    server.publish(REPO, toys[0])
    for revision in ("v9", "0" * 40):
        refused(
            errors.PresetNotFoundError,
            "no branch, tag or commit",
            lambda revision=revision: kv.from_preset(HANDLE, revision),
        )
    repository = server.repositories[REPO]
    files = dict(repository.commits[repository.heads["main"]])
    for name in ("model.safetensors", "vicreg.json"):
        del files[name]
        repository.commit("main", dict(files), None)
        refused(
            errors.PresetNotFoundError,
            re.escape(name),
            lambda: kv.from_preset(HANDLE),
        )


def test_a_repository_that_lies_about_its_files(server, toys):
    """Of large files none is downloaded before its size has been compared."""
    server.publish(REPO, toys[0])
    repository = server.repositories[REPO]
    files = dict(repository.commits[repository.heads["main"]])
    huge = {
        "model.safetensors": (10**11, errors.CorruptPresetError, "must push again"),
        "vicreg.json": (10**9, errors.InvalidPresetError, "more than"),
    }
    for name, (size, error, message) in huge.items():
        lying = {**files, name: Blob(None, "0" * 64, size, large=True)}
        repository.commit("main", lying, None)
        server.requests.clear()
        refused(error, message, lambda: kv.from_preset(HANDLE))
        assert server.count("GET", f"/resolve/.*/{name}") == 0


@pytest.mark.parametrize(
    "handle",
    [
        *("hf://", "hf://user", "hf://user/repo/file", "hf://../..", "hf://u/r@"),
        *("hf://u/r@../../x", "hf://u/r@a b", "hf://u/r@/main", "hf://u/r@a..b"),
    ],
)
def test_handles_that_are_none(handle):
    with pytest.raises((ValueError, kv.PresetError)):
        kv.from_preset(handle)
