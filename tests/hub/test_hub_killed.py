"""kill -9 in the middle of a transfer: the old or the new is there, whole."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import pytest
from hub_checks import (
    HANDLE,
    ROOT,
    assert_toy,
    files_of,
    holds,
)
from huggingface_hub import constants

import keras_vicreg as kv
from keras_vicreg import hub
from keras_vicreg.presets import folder as folders

pytest_plugins = ["hub_fixtures"]


CHILD = """
import os, sys
from huggingface_hub import constants
import huggingface_hub.utils
huggingface_hub.utils.disable_progress_bars()
from keras_vicreg import hub
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.environ["HF_ENDPOINT"], action, *arguments = line.split()
        getattr(hub, action)(*arguments)
        print("done", flush=True)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The cache of the processes that die."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def kill_soon(cache):
    """A function that starts a call in a process of its own and kills it soon."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": keras.config.backend(),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_XET": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def kill(seconds, *words):
            words = os.environ["HF_ENDPOINT"], *words
            process.stdin.write(" ".join(map(str, words)) + "\n")
            process.stdin.flush()
            child = int(process.stdout.readline())
            SLEEP(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            finished = process.stdout.readline() == "done\n"
            if finished:
                process.stdout.readline()
            return not finished

        yield kill
        process.stdin.close()


SLEEP = time.sleep


def test_killed_while_pushing(server, toys, kill_soon):
    """kill -9 at 20 random moments: the branch holds the old or the new, whole."""
    hub.upload_preset(HANDLE, toys[0])
    r, outcomes = random.Random(0), set()
    for number in range(20):
        old, new = toys[number % 2], toys[(number + 1) % 2]
        for sha256 in set(files_of(new).values()) - set(files_of(old).values()):
            server.store.pop(sha256, None)  # or there would be nothing to send
        killed = kill_soon(r.uniform(0, 0.4), "push", HANDLE, new)
        states = [holds(server, folder) for folder in (old, new)]
        assert states.count(True) == 1
        outcomes.add((killed, states[1]))
        hub.upload_preset(HANDLE, new)
        assert holds(server, new)
    assert (True, False) in outcomes


def test_killed_while_pulling(server, toys, kill_soon, cache, tmp_path, monkeypatch):
    """kill -9 at 20 random moments: the folder holds the old or the new, whole."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    handles = [hub.upload_preset(HANDLE, folder) for folder in toys]
    target = tmp_path / "pulled"
    hub.pull(handles[0], target)
    r, outcomes = random.Random(0), set()
    for number in range(20):
        if number % 2:
            shutil.rmtree(cache)
        new = (number + 1) % 2
        killed = kill_soon(r.uniform(0, 0.4), "pull", handles[new], target)
        manifest = folders.steadily(target, folders.verify)
        states = [manifest == folders.read_manifest(folder) for folder in toys]
        assert states.count(True) == 1
        outcomes.add((killed, states[new]))
        assert_toy(kv.from_preset(handles[new]), seed=new)  # with what it left
        hub.pull(handles[new], target)
    assert (True, False) in outcomes
