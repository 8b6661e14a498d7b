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
                     (os, "rmdir"), (os, "replace"), (os, "link"), (shutil, "rmtree")]:
    setattr(module, name, mortal(getattr(module, name)))
from keras_vicreg.atomic_folder import replacing
if "inside" in sys.argv:
    os.chdir(target)
    target = pathlib.Path(".")
with replacing(target, "abcd") as new:
    for name in "ab":
        (new / name).write_text("new")
"""


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("where", ["beside", "inside"])
def test_dying_at_every_step(tmp_path, where):
    target = tmp_path / "target"
    target.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(kv.__file__).parents[1])}
    old, states = {"a": "old", "b": "old", "c": "old"}, []
    for deadly in range(1, 100):
        with atomic_folder.replacing(target) as new:
            for name in "abc":
                (new / name).write_text("old")
        command = [sys.executable, "-c", WRITER, str(target), str(deadly), where]
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


def fill(folder, owned=None, **files):
    with atomic_folder.replacing(folder, owned) as new:
        for name, text in files.items():
            (new / name).write_text(text)


@pytest.mark.parametrize("here", [".", "notes", "notes/deep"])
@pytest.mark.parametrize("name", [".", "absolute", "link"])
def test_the_working_folder_stays(tmp_path, monkeypatch, here, name):
    """So do those around it, and all in them that is no file of the new content."""
    target = tmp_path / "target"
    fill(target, a="old", b="old")
    (target / "notes" / "deep").mkdir(parents=True)
    (target / "notes" / "deep" / "n").write_text("mine")
    (tmp_path / "link").symlink_to(target)
    before = target.stat().st_ino, (target / "notes" / "deep").stat().st_ino
    monkeypatch.chdir(target / here)
    up = Path(*[".."] * len(Path(here).parts))
    folder = {".": up, "absolute": target, "link": tmp_path / "link"}[name]
    fill(folder, "abc", a="new", c="new")
    assert Path.cwd() == target / here
    assert before == (target.stat().st_ino, (target / "notes" / "deep").stat().st_ino)
    assert content(target) == {"a": "new", "c": "new"}
    assert (target / "notes" / "deep" / "n").read_text() == "mine"
    assert sorted(p.name for p in target.iterdir()) == ["a", "c", "notes"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "target"]


def test_an_error_leaves_the_working_folder_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(Path("."), a="old")

    def fail():
        with atomic_folder.replacing(Path(".")) as new:
            (new / "a").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert content(tmp_path) == {"a": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_folders_and_files_of_one_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(Path("."), a="old", b="old")
    with atomic_folder.replacing(Path(".")) as new:
        (new / "a").mkdir()
        (new / "a" / "x").write_text("new")
    assert content(tmp_path / "a") == {"x": "new"}
    fill(Path("."), a="new")
    assert content(tmp_path) == {"a": "new"}


def test_what_died_in_the_working_folder_is_finished_elsewhere(tmp_path):
    """What lies in `.NAME.previous` counts until the next writer is done."""
    target = tmp_path / "target"
    fill(target, a="mixed", other="mine")
    left = target / ".target.previous"
    left.mkdir()
    (left / "a").write_text("old")
    (target / ".target.writing-1").mkdir()
    assert content(atomic_folder.current(target)) == {"a": "old"}
    assert sorted(p.name for p in atomic_folder.entries(target)) == ["a", "other"]
    fill(target, "a", a="new")
    assert content(atomic_folder.current(target)) == {"a": "new", "other": "mine"}
    assert sorted(p.name for p in target.iterdir()) == ["a", "other"]


def test_a_working_folder_that_somebody_removed(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    fill(tmp_path / "target", a="new")
    assert content(tmp_path / "target") == {"a": "new"}


INSIDE = """
import os, pathlib, sys, time
os.chdir(sys.argv[1])
from keras_vicreg.atomic_folder import replacing
for _ in range(40):
    with replacing(pathlib.Path(".")) as new:
        for name in "abcd":
            (new / name).write_text(sys.argv[2])
"""


def test_two_writers_in_one_working_folder(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(kv.__file__).parents[1])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", INSIDE, str(tmp_path), str(i)], env=environment
        )
        for i in range(2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(set(content(tmp_path).values())) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == list("abcd")
