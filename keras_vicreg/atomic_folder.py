"""Folders that change whole or not at all, whenever the writer is killed.

The new folder is made beside the old one under a name of its own. Then the old one is
renamed to `.NAME.previous` and the new one to `NAME`; a reader that finds no `NAME`
in between reads `.NAME.previous`. Only renames, so it holds on any file system.
"""

import contextlib
import glob
import os
import pathlib
import secrets
import shutil
import time

LEFT_BEHIND = 24 * 3600  # seconds after which another writer's folder is a dead one's


def current(folder: pathlib.Path) -> pathlib.Path:
    """The folder to read now: `folder`, or the one being replaced by it."""
    previous = _previous(folder)
    if not folder.exists() and previous.exists():
        return previous
    return folder


@contextlib.contextmanager
def replacing(folder: pathlib.Path):
    """Yields an empty folder that takes the place of `folder` if the block ends well.

    Args:
        folder: the folder to make or to replace; its parents are made. If it is a
            link, what it points to is replaced.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    new = _unique(folder)
    new.mkdir()
    try:
        yield new
        for path in new.rglob("*"):
            _flush(path)
        _take_place(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _take_place(new: pathlib.Path, folder: pathlib.Path) -> None:
    """Two renames, again where another writer's came between them."""
    previous, tries = _previous(folder), 20
    for attempt in range(tries):
        try:
            if folder.exists():
                _discard(previous, folder)
                os.rename(folder, previous)
            os.rename(new, folder)
            break
        except OSError:
            if attempt == tries - 1 or not new.exists():
                raise
            time.sleep(0.01 * attempt)
    _discard(previous, folder)


def _discard(old: pathlib.Path, folder: pathlib.Path) -> None:
    """Removes a folder, of which no half is ever to be seen."""
    trash = _unique(folder)
    with contextlib.suppress(FileNotFoundError):
        os.rename(old, trash)
        shutil.rmtree(trash, ignore_errors=True)


def _clear(folder: pathlib.Path) -> None:
    """Removes what killed writers have left."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.writing-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFT_BEHIND:
                shutil.rmtree(path, ignore_errors=True)


def _flush(path: pathlib.Path) -> None:
    """Waits until a file is on the disk, so that a power cut leaves no empty one."""
    if path.is_file() and not path.is_symlink():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())


def _previous(folder: pathlib.Path) -> pathlib.Path:
    return folder.parent / f".{folder.name}.previous"


def _unique(folder: pathlib.Path) -> pathlib.Path:
    return folder.parent / f".{folder.name}.writing-{secrets.token_hex(8)}"
