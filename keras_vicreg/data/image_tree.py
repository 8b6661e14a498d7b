"""The image files below a folder, each once, and the files that are no images."""

import dataclasses
import os
from collections import Counter
from pathlib import Path

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".bmp"),
    *(".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
    *(".avif", ".tga", ".mpo"),
)

# Folders that systems and programs keep for themselves; so do those with a dot.
SYSTEM = (
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "#recycle",
    "lost+found",
)

Parts = tuple[str, ...]  # of a path below the folder: `("train", "cat", "0.jpg")`


@dataclasses.dataclass
class ImageTree:
    """What lies below a folder. Paths are tuples of names, relative to it.

    Attributes:
        images: the image files, sorted.
        folders: all folders, the hidden ones left out.
        hidden: folders and files whose names begin with a dot, or that a system keeps
            for itself. They are not looked into.
        again: links to folders or images that are read already, or that hold the
            folder itself.
        broken: links to nothing.
        closed: folders that may not be read.
        others: how many other files there are, by their suffix in lower case.
    """

    images: list[Parts] = dataclasses.field(default_factory=list)
    folders: list[Parts] = dataclasses.field(default_factory=list)
    hidden: list[Parts] = dataclasses.field(default_factory=list)
    again: list[Parts] = dataclasses.field(default_factory=list)
    broken: list[Parts] = dataclasses.field(default_factory=list)
    closed: list[Parts] = dataclasses.field(default_factory=list)
    others: Counter = dataclasses.field(default_factory=Counter)


def read_tree(folder: Path) -> ImageTree:
    """Finds the images below `folder`, in links to other folders too.

    Every folder and every image file is read once, under its own name where that lies
    below `folder`, and not through a link.
    """
    tree, links, linked_images = ImageTree(), [], []
    seen = {_identity(parent) for parent in folder.resolve().parents}
    waiting = [()]
    while waiting or links:
        if not waiting:
            links.sort(reverse=True)
        parts = waiting.pop() if waiting else links.pop()
        try:
            identity = _identity(folder.joinpath(*parts))
            entries = _entries(folder, parts)
        except OSError:
            tree.closed.append(parts)
            continue
        if identity in seen:
            tree.again.append(parts)
            continue
        seen.add(identity)
        tree.folders.append(parts)
        for entry in _sorted_out(entries, parts, tree):
            path = (*parts, entry.name)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_dir():
                links.append(path)
            elif entry.is_symlink():
                linked_images.append(path)
            else:
                tree.images.append(path)
    _add_linked(folder, linked_images, tree)
    tree.images.sort()
    return tree


def is_named_image(name: str) -> bool:
    """Whether a file is called as images are."""
    return name.lower().endswith(EXTENSIONS)


def _identity(path: Path) -> tuple[int, int]:
    """What tells a file or folder from all others, whatever it is called."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _entries(folder: Path, parts: Parts) -> list[os.DirEntry]:
    with os.scandir(folder.joinpath(*parts)) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _sorted_out(entries, parts: Parts, tree: ImageTree) -> list[os.DirEntry]:
    """Folders and image files of one folder; puts down all that is neither."""
    found = []
    for entry in entries:
        path = (*parts, entry.name)
        if entry.name.startswith(".") or entry.name.casefold() in SYSTEM:
            tree.hidden.append(path)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            tree.broken.append(path)
        elif entry.is_dir() or (is_named_image(entry.name) and entry.is_file()):
            found.append(entry)
        else:
            tree.others[Path(entry.name).suffix.lower()] += 1
    return found


def _add_linked(folder: Path, links: list[Parts], tree: ImageTree) -> None:
    """Adds the images that are links, unless the folder holds what they lead to."""
    if links:
        own = {_identity(folder.joinpath(*parts)) for parts in tree.images}
        for parts in links:
            doubled = _identity(folder.joinpath(*parts)) in own
            (tree.again if doubled else tree.images).append(parts)
