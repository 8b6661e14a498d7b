"""A folder is replaced whole or not at all, wherever the writer dies."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import keras_vicreg as kv
from keras_vicreg import atomic_folder

# Dies, as by kill -9, at the n-th call of any function that changes the disk.
WRITER = """
import itertools, os, pathlib, shutil, sys
target, deadly = pathlib.Path(sys.argv[1]), int(sys.argv[2])
calls = itertools.count(1)
def mortal(function):
    def call(*args, **options):
        if next(calls) == deadly:
            os._exit(9)
        return function(*args, **options)
    return call
for module, name in [(os, "rename"), (os, "mkdir"), (os, "fsync"), (os, "unlink"),
                     (os, "rmdir"), (shutil, "rmtree")]:
    setattr(module, name, mortal(getattr(module, name)))
from keras_vicreg.atomic_folder import replacing
with replacing(target) as new:
    for name in "ab":
        (new / name).write_text("new")
"""


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_dying_at_every_step(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(kv.__file__).parents[1])}
    old, states = {"a": "old", "b": "old", "c": "old"}, []
    for deadly in range(1, 100):
        with atomic_folder.replacing(target) as new:
            for name in "abc":
                (new / name).write_text("old")
        command = [sys.executable, "-c", WRITER, str(target), str(deadly)]
        died = subprocess.run(command, env=environment).returncode == 9
        states.append(content(atomic_folder.current(target)))
        if not died:
            break
    assert len(states) > 6
    # Old up to some step, and new from there on.
    turn = states.index({"a": "new", "b": "new"})
    assert all(state == old for state in states[:turn])
    assert all(state == states[-1] for state in states[turn:])
    assert target.is_dir()


def test_an_error_leaves_the_old_folder(tmp_path):
    target = tmp_path / "target"
    with atomic_folder.replacing(target) as new:
        (new / "a").write_text("old")

    def fail():
        with atomic_folder.replacing(target) as new:
            (new / "a").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert content(target) == {"a": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with atomic_folder.replacing(tmp_path / "link") as new:
        (new / "a").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "disk") == {"a": "new"}


def test_what_the_dead_leave_is_cleared_away_later(tmp_path):
    dead, busy = (tmp_path / f".target.writing-{name}" for name in "ab")
    for folder in (dead, busy):
        folder.mkdir()
    long_ago = time.time() - 2 * atomic_folder.LEFT_BEHIND
    os.utime(dead, (long_ago, long_ago))
    with atomic_folder.replacing(tmp_path / "target"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [busy.name, "target"]
