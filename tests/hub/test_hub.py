"""Presets published, loaded, pulled: the whole circle, on a Hub of our own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import huggingface_hub.utils
import keras
import numpy as np
import preset_toys
import pytest
from hub_checks import (
    HANDLE,
    REPO,
    ROOT,
    WEIGHTS,
    assert_close,
    both_transports,
    close_to,
    files_of,
    holds,
    refused,
    unchanged,
)
from hub_storage import Blob
from huggingface_hub import constants

import keras_vicreg as kv
from keras_vicreg import hub, zoo
from keras_vicreg.presets import errors
from keras_vicreg.presets import folder as folders

pytest_plugins = ["hub_fixtures"]


@both_transports
def test_published_and_loaded(server, toys):
    first = hub.upload_preset(HANDLE, toys[0])
    assert holds(server, toys[0])
    commit = first.partition("@")[2]
    server.repositories[REPO].tags["v1.0"] = commit
    second = hub.upload_preset(HANDLE, preset_toys.encoder(seed=1))
    assert second != first
    assert holds(server, toys[1])

    close_to(kv.from_preset(HANDLE), seed=1)
    for handle, revision in (
        (f"{HANDLE}@v1.0", None),
        (HANDLE, "v1.0"),
        (first, None),
        (HANDLE, commit),
    ):
        close_to(kv.from_preset(handle, revision), seed=0)
    model = zoo.from_preset(first, model_class=kv.VICReg)
    expected = preset_toys.outputs(preset_toys.vicreg(seed=0))
    assert_close(preset_toys.outputs(model), expected)


@both_transports
def test_a_pinned_commit_in_the_cache_takes_no_request(server, toys):
    handle = hub.upload_preset(HANDLE, toys[0])
    kv.from_preset(handle)
    server.requests.clear()
    close_to(kv.from_preset(handle), seed=0)
    assert server.requests == []


@both_transports
def test_the_same_content_makes_no_commit(server, toys, tmp_path):
    handle = hub.upload_preset(HANDLE, toys[0])
    commits = len(server.repositories[REPO].commits)
    assert hub.upload_preset(HANDLE, toys[0]) == handle
    assert hub.upload_preset(HANDLE, preset_toys.vicreg(seed=0)) != handle  # no card
    assert hub.upload_preset(HANDLE, toys[0]) != handle
    hub.pull(HANDLE, tmp_path / "pulled")
    before = len(server.repositories[REPO].commits)
    assert before == commits + 2
    hub.upload_preset(HANDLE, tmp_path / "pulled")
    assert len(server.repositories[REPO].commits) == before


LOADER = """
import os, sys
import numpy as np
from huggingface_hub import constants
import preset_toys
from keras_vicreg import zoo
outputs = []
for number, disabled in enumerate((True, False)):
    constants.HF_HUB_DISABLE_XET = disabled
    constants.HF_HUB_CACHE = f"{sys.argv[1]}-{number}"
    for handle in sys.argv[3:]:
        outputs.append(preset_toys.outputs(zoo.from_preset(handle)))
np.save(sys.argv[2], outputs)
"""
PLAIN = """
import sys
from pathlib import Path
import keras, numpy as np
model = keras.saving.load_model(sys.argv[2])
np.save(sys.argv[1], model(np.load(sys.argv[3]).astype("float32")))
assert not [name for name in sys.modules if name.startswith("keras_vicreg")]
"""


@pytest.mark.parametrize("server", ["xet"], indirect=True)
def test_other_backends_and_plain_keras(server, toys, tmp_path):
    """Saved here, loaded elsewhere, two processes at once with one cache."""
    handle = hub.upload_preset(HANDLE, toys[0])
    repository = server.repositories[REPO]
    repository.tags["v1"] = handle.partition("@")[2]
    for name, sha256 in files_of(toys[0]).items():  # to be had without Xet as well
        server.store[sha256] = (toys[0] / name).read_bytes()
    np.save(tmp_path / "images.npy", preset_toys.images())
    backends = [name for name in ("jax", "torch") if installed(name)]
    processes = [
        python(
            LOADER,
            *(tmp_path / "shared", tmp_path / f"{backend}.npy"),
            *(HANDLE, f"{HANDLE}@v1", handle),
            KERAS_BACKEND=backend,
            PYTHONPATH=f"{ROOT}:{ROOT}/tests/support",
        )
        for backend in backends
    ]
    processes.append(
        python(
            PLAIN,
            *(tmp_path / "plain.npy", HANDLE, tmp_path / "images.npy"),
            KERAS_BACKEND=keras.config.backend(),
            PYTHONPATH="",
            HF_HOME=str(tmp_path / "home"),
        )
    )
    assert [process.wait(300) for process in processes] == [0] * len(processes)
    expected = preset_toys.outputs(preset_toys.encoder(seed=0))
    for backend in backends:
        for got in np.load(tmp_path / f"{backend}.npy"):
            assert_close(got, expected)
    assert_close(np.load(tmp_path / "plain.npy"), expected)


def installed(backend):
    return importlib.util.find_spec(backend) is not None


def python(code, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
    )


def test_words_on_the_hub_are_kept(server, toys):
    hub.upload_preset(HANDLE, toys[1])
    repository = server.repositories[REPO]
    files = dict(repository.commits[repository.heads["main"]])
    theirs = b"---\nlanguage: en\n---\n# By hand\n"
    files["README.md"] = Blob(theirs, "", len(theirs), large=False)
    files["notes.md"] = Blob(b"mine", "", 4, large=False)
    repository.commit("main", files, None)
    hub.upload_preset(HANDLE, toys[0])
    after = server.files(REPO)
    assert after["notes.md"] == b"mine"
    card = huggingface_hub.ModelCard(after["README.md"].decode())
    assert card.text.strip() == "# By hand"
    assert card.data.language == "en"
    assert card.data.eval_results[0].metric_value == 0.25
    commits = len(repository.commits)
    hub.upload_preset(HANDLE, toys[0])
    assert len(repository.commits) == commits


def test_the_card_names_the_repository(server, toys):
    hub.upload_preset(HANDLE, toys[0])
    text = server.files(REPO)["README.md"].decode()
    assert f'kv.from_preset("{HANDLE}")' in text
    assert "hf://user/user" not in text


def test_branches(server, toys):
    hub.upload_preset(HANDLE, toys[0])
    main = server.repositories[REPO].heads["main"]
    hub.upload_preset(f"{HANDLE}@trial/2", toys[1])
    assert server.repositories[REPO].heads["main"] == main
    close_to(kv.from_preset(f"{HANDLE}@trial/2"), seed=1)
    with pytest.raises(ValueError, match="must name a branch"):
        hub.upload_preset(f"{HANDLE}@{main}", toys[1])


def test_a_push_of_somebody_else_at_the_same_time(server, toys, monkeypatch):
    hub.upload_preset(HANDLE, toys[1])
    commit = hub.upload._commit

    def late(*args):
        monkeypatch.setattr(hub.upload, "_commit", commit)
        repository = server.repositories[REPO]
        files = dict(repository.commits[repository.heads["main"]])
        files["notes.md"] = Blob(b"mine", "", 4, large=False)
        repository.commit("main", files, repository.heads["main"])
        commit(*args)

    monkeypatch.setattr(hub.upload, "_commit", late)
    hub.upload_preset(HANDLE, toys[0])
    assert holds(server, toys[0])
    assert server.files(REPO)["notes.md"] == b"mine"


def test_only_whole_presets_are_pushed(server, toys, tmp_path):
    folder = shutil.copytree(toys[0], tmp_path / "toy")
    data = bytearray((folder / "model.weights.h5").read_bytes())
    data[100] ^= 1
    (folder / "model.weights.h5").write_bytes(data)
    refused(
        errors.CorruptPresetError,
        "model.weights.h5",
        lambda: hub.upload_preset(HANDLE, folder),
    )
    assert not server.requests
    # A link must not carry a file from elsewhere along.
    secret = tmp_path / "secret"
    secret.write_text("my password")
    shutil.copyfile(toys[0] / "model.weights.h5", folder / "model.weights.h5")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(secret)
    hub.upload_preset(HANDLE, folder)
    assert not any(b"password" in data for data in server.files(REPO).values())


def test_files_that_change_while_they_are_sent(server, toys, tmp_path, monkeypatch):
    """What arrives is what was checked, or nothing does."""
    hub.upload_preset(HANDLE, toys[1])
    folder = shutil.copytree(toys[0], tmp_path / "toy")
    commit = hub.upload._commit

    def late(*args):
        shutil.copyfile(toys[1] / "model.safetensors", folder / "model.safetensors")
        commit(*args)

    monkeypatch.setattr(hub.upload, "_commit", late)
    head = server.repositories[REPO].heads["main"]
    refused(
        errors.CorruptPresetError,
        "changed while it was sent",
        lambda: hub.upload_preset(HANDLE, folder),
    )
    assert server.repositories[REPO].heads["main"] == head


def test_dry_runs(server, toys, tmp_path):
    plan = hub.push(HANDLE, toys[0], dry_run=True)
    assert set(plan.changes.values()) == {"add"}
    assert plan.sizes["model.safetensors"] == os.path.getsize(
        toys[0] / "model.safetensors"
    )
    assert not server.repositories
    hub.upload_preset(HANDLE, toys[0])
    with unchanged(server):
        plan = hub.push(HANDLE, toys[1], dry_run=True)
    assert plan.changes["model.safetensors"] == "replace"
    assert plan.changes["expander.safetensors"] == "delete"
    assert plan.changes["metadata.json"] == "keep"
    handle, sizes = hub.pull(HANDLE, tmp_path / "none", dry_run=True)
    assert sizes["model.safetensors"] > 180_000
    assert handle.endswith(server.repositories[REPO].heads["main"])
    assert not (tmp_path / "none").exists()


def test_pulled(server, toys, tmp_path):
    hub.upload_preset(HANDLE, toys[0])
    folder = tmp_path / "pulled"
    hub.pull(HANDLE, folder)
    assert folders.verify(folder) == folders.verify(toys[0])
    assert (folder / "README.md").read_bytes() == server.files(REPO)["README.md"]
    (folder / "notes.txt").write_text("mine")
    hub.upload_preset(HANDLE, toys[1])
    hub.pull(HANDLE, folder)
    assert folders.verify(folder) == folders.verify(toys[1])
    assert not (folder / "expander.safetensors").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    server.fault("GET", WEIGHTS, "flip", times=99)
    shutil.rmtree(constants.HF_HUB_CACHE)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    refused(errors.CorruptPresetError, "damaged", lambda: hub.pull(HANDLE, folder))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_pulled_into_the_working_folder(server, toys, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for toy in toys:
        hub.upload_preset(HANDLE, toy)
        hub.pull(HANDLE, ".")
        assert Path.cwd() == here
        assert folders.verify(here) == folders.verify(toy)
        (here / "notes.txt").write_text("mine")
    assert not (here / "expander.safetensors").exists()
    assert not list(here.glob(".*"))


def test_another_endpoint_and_token(server, toys, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.delenv("HF_TOKEN")
    at = {"endpoint": server.endpoint + "/", "token": "writer"}
    hub.push(HANDLE, toys[0], private=True, **at)
    manifest, handle = hub.find_manifest(HANDLE, **at)
    assert manifest == folders.read_manifest(toys[0])
    hub.pull(handle, tmp_path / "pulled", **at)


def test_a_built_in_name_that_stands_for_a_repository(server, toys, monkeypatch):
    handle = hub.upload_preset(HANDLE, toys[0])
    monkeypatch.setitem(zoo.ON_HUB, "toy", handle)
    close_to(kv.from_preset("toy"), seed=0)


def test_the_test_hub_is_on_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert json.dumps(server.endpoint).startswith('"http://127.0.0.1:')
