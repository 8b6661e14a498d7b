"""The folder of a preset, read with suspicion: manifest first, hashes always."""

import contextlib
import hashlib
import os
import pathlib
import stat

from keras_vicreg.atomic_folder import current
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets.errors import (
    CorruptPresetError,
    InvalidPresetError,
    PresetNotFoundError,
)
from keras_vicreg.presets.manifest import Manifest

TRIES = 20  # at a folder that is replaced while it is read


def read_manifest(folder: pathlib.Path) -> Manifest:
    """The manifest of the preset in `folder`."""
    try:
        with _open(folder / manifests.NAME) as file:
            data = file.read(manifests.MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise PresetNotFoundError(
            f"There is no preset in {folder}: it has no {manifests.NAME}."
        ) from None
    try:
        return manifests.from_bytes(data)
    except (CorruptPresetError, InvalidPresetError) as error:
        raise type(error)(f"In {folder}: {error}") from None


def read_file(folder: pathlib.Path, manifest: Manifest, name: str) -> bytes:
    """The content of one file of the preset, once it is what the manifest says.

    Raises:
        CorruptPresetError: if the file is missing, or of another size or hash.
        InvalidPresetError: if it is no ordinary file.
    """
    with _open_listed(folder, name) as file:
        return _read_checked(file, folder, manifest, name)


@contextlib.contextmanager
def opened(folder: pathlib.Path):
    """Manifest and weights of one state of a folder that others may replace.

    The weights files are opened at once, and so can still be read when the folder has
    long been replaced.

    Yields:
        The manifest, and a function of a name of a weights file that gives its
        content, checked.
    """
    manifest = read_manifest(folder)
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context(_open_listed(folder, name))
            for name in manifests.WEIGHTS
            if name in manifest.files
        }
        yield manifest, lambda name: _read_checked(files[name], folder, manifest, name)


def steadily(folder: pathlib.Path, action):
    """`action(folder)`, again where the folder was replaced in the middle of it."""
    for _ in range(TRIES):
        before = _identity(current(folder))
        try:
            return action(current(folder))
        except (CorruptPresetError, PresetNotFoundError) as damage:
            if _identity(current(folder)) == before:
                raise
            error = damage
    raise error


def verify(folder: pathlib.Path) -> Manifest:
    """The manifest, once every file it names has been found to be as it says."""
    manifest = read_manifest(folder)
    for name in manifest.files:
        with _open_listed(folder, name) as file:
            _compare(_entry(file), folder, manifest, name)
    return manifest


def file_entry(path: pathlib.Path) -> dict:
    """What a manifest says of a file: its hash and its size in bytes."""
    with open(path, "rb") as file:
        return _entry(file)


def _entry(file) -> dict:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "size": file.tell()}


def _read_checked(file, folder: pathlib.Path, manifest: Manifest, name: str) -> bytes:
    size = os.fstat(file.fileno()).st_size
    # A file of the wrong size is not read at all, however large it is.
    data = file.read() if size == manifest.files[name]["size"] else b""
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    _compare(entry, folder, manifest, name)
    return data


def _compare(entry: dict, folder: pathlib.Path, manifest: Manifest, name: str) -> None:
    if entry != manifest.files[name]:
        raise CorruptPresetError(
            f"{name} in {folder} is damaged, it is not the file that the manifest "
            "names: write or download it again."
        )


def _identity(folder: pathlib.Path) -> tuple | None:
    """What differs between any two manifests that were ever written."""
    try:
        status = os.stat(folder / manifests.NAME)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _open_listed(folder: pathlib.Path, name: str):
    try:
        return _open(folder / name)
    except FileNotFoundError:
        raise CorruptPresetError(
            f"The preset in {folder} lacks {name}: write or download it again."
        ) from None


def is_own_file(path: pathlib.Path) -> bool:
    """Whether a path is a file of the folder it is in, not one from elsewhere."""
    return path.is_file() and (not path.is_symlink() or _in_hub_cache(path))


def _open(path: pathlib.Path):
    """Opens an ordinary file for reading."""
    if path.is_symlink() and not _in_hub_cache(path):
        raise InvalidPresetError(
            f"{path} is a symbolic link: a preset holds its files itself."
        )
    # Without O_NONBLOCK the opening of a pipe would wait for somebody to write to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidPresetError(f"{path} is not an ordinary file.")
    return os.fdopen(descriptor, "rb")


def _in_hub_cache(path: pathlib.Path) -> bool:
    """Whether a link leads to where the Hub's cache keeps the files of snapshots."""
    snapshot = path.parent.resolve()
    target = os.path.normpath(snapshot / os.readlink(path))
    blobs = snapshot.parent.parent / "blobs"
    return snapshot.parent.name == "snapshots" and os.path.dirname(target) == str(blobs)
