"""Folders that change whole or not at all, whenever the writer is killed.

The new folder is made beside the old one under a name of its own. Then the old one is
renamed to `.NAME.previous` and the new one to `NAME`; a reader that finds no `NAME`
in between reads `.NAME.previous`. Only renames, so it holds on any file system.

A folder that must stay, such as the one the process works in, has its files replaced
one by one. What was there lies in `NAME/.NAME.previous` until the last one is, and is
what is read.
"""

import contextlib
import glob
import os
import pathlib
import secrets
import shutil
import time
from collections.abc import Collection

try:
    import fcntl
except ImportError:  # on Windows, where nobody can remove a folder that is worked in
    fcntl = None

LEFT_BEHIND = 24 * 3600  # seconds after which another writer's folder is a dead one's


def current(folder: pathlib.Path) -> pathlib.Path:
    """The folder to read now: `folder`, or the state that is being replaced in it."""
    folder = folder.resolve()
    there = _there(folder)
    inside = _previous(folder, there)
    return inside if inside.is_dir() else there


def entries(folder: pathlib.Path) -> list[pathlib.Path]:
    """What a folder holds beside what writers keep there for a while."""
    folder = folder.resolve()
    there = _there(folder)
    previous, writing = _previous(folder).name, f".{folder.name}.writing-"
    return [
        path
        for path in (there.iterdir() if there.is_dir() else ())
        if path.name != previous and not path.name.startswith(writing)
    ]


@contextlib.contextmanager
def replacing(folder: pathlib.Path, owned: Collection[str] | None = None):
    """Yields an empty folder whose files take the place of those in `folder`.

    They do if the block ends well; else all is as it was. A folder that others stand
    on, the working folder and those around it or a mount, stays what it is.

    Args:
        folder: the folder to make or to replace; its parents are made. If it is a
            link, what it points to is replaced.
        owned: the names that go where they are not written anew. What has another
            name stays. Defaults to all.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    stays = _is_stood_on(folder)
    place = folder if stays else folder.parent
    _clear(folder, place)
    new = _unique(folder, place)
    new.mkdir()
    try:
        yield new
        for path in new.rglob("*"):
            _flush(path)
        kept = [p for p in entries(folder) if owned is not None and p.name not in owned]
        if stays:
            with _alone_in(folder):
                _change(new, folder, {path.name for path in kept})
        else:
            for path in kept:
                _link(path, new / path.name)
            _take_place(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _change(new: pathlib.Path, folder: pathlib.Path, kept: set[str]) -> None:
    """Replaces the files of a folder, while readers read what was there."""
    previous = _previous(folder, folder)
    old = [path for path in entries(folder) if path.name not in kept]
    if not previous.is_dir():  # else a writer died, and it is what counts
        copy = _unique(folder, folder)
        copy.mkdir()
        for path in old:
            _link(path, copy / path.name)
        os.rename(copy, previous)
    files = {path.name for path in new.iterdir() if not _is_real_folder(path)}
    for path in old:
        if path.name not in files or _is_real_folder(path):
            _remove(path)
    for path in new.iterdir():
        os.replace(path, folder / path.name)
    _discard(previous, folder, folder)


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    """Gives a file, or all in a folder, a second name; else it is copied."""
    if _is_real_folder(source):
        shutil.copytree(source, target, symlinks=True, copy_function=_link_file)
    else:
        _link_file(source, target)


def _link_file(source, target) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system on which files have one name
        shutil.copy2(source, target, follow_symlinks=False)


def _is_real_folder(path: pathlib.Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: pathlib.Path) -> None:
    shutil.rmtree(path) if _is_real_folder(path) else path.unlink()


def _is_stood_on(folder: pathlib.Path) -> bool:
    """Whether a folder must stay what it is: of the process, or of a file system."""
    if not folder.is_dir():
        return False
    try:
        here = pathlib.Path.cwd()
        around = any(os.path.samefile(path, folder) for path in (here, *here.parents))
    except OSError:  # somebody has removed the working folder
        around = False
    return around or os.path.ismount(folder)


@contextlib.contextmanager
def _alone_in(folder: pathlib.Path):
    """Of several writers that change the files of a folder, one at a time."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _take_place(new: pathlib.Path, folder: pathlib.Path) -> None:
    """Two renames, again where another writer's came between them."""
    previous, tries = _previous(folder), 20
    for attempt in range(tries):
        try:
            if folder.exists():
                _discard(previous, folder, folder.parent)
                os.rename(folder, previous)
            os.rename(new, folder)
            break
        except OSError:
            if attempt == tries - 1 or not new.exists():
                raise
            time.sleep(0.01 * attempt)
    _discard(previous, folder, folder.parent)


def _discard(old: pathlib.Path, folder: pathlib.Path, place: pathlib.Path) -> None:
    """Removes a folder, of which no half is ever to be seen."""
    trash = _unique(folder, place)
    with contextlib.suppress(FileNotFoundError):
        os.rename(old, trash)
        shutil.rmtree(trash, ignore_errors=True)


def _clear(folder: pathlib.Path, place: pathlib.Path) -> None:
    """Removes what killed writers have left."""
    for path in place.glob(f".{glob.escape(folder.name)}.writing-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFT_BEHIND:
                shutil.rmtree(path, ignore_errors=True)


def _flush(path: pathlib.Path) -> None:
    """Waits until a file is on the disk, so that a power cut leaves no empty one."""
    if path.is_file() and not path.is_symlink():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())


def _there(folder: pathlib.Path) -> pathlib.Path:
    """A folder, or where it is while another takes its place."""
    previous = _previous(folder)
    return previous if not folder.exists() and previous.exists() else folder


def _previous(folder: pathlib.Path, place: pathlib.Path | None = None) -> pathlib.Path:
    return (place or folder.parent) / f".{folder.name}.previous"


def _unique(folder: pathlib.Path, place: pathlib.Path) -> pathlib.Path:
    return place / f".{folder.name}.writing-{secrets.token_hex(8)}"
