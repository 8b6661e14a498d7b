"""One line that says how a folder of images is read, and what is left out of it."""

import os
import re
import warnings
from pathlib import Path

from keras_vicreg.data.folders import ImageFolder, is_folder
from keras_vicreg.data.image_tree import Parts
from keras_vicreg.terminal import printable

# Pictures that Pillow cannot read, or whose range of values is not known.
OTHER_PICTURES = (
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".exr", ".hdr", ".dcm", ".dng"),
    *(".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw"),
)


def announce(source) -> None:
    """Prints how a folder is read. `load_images` does not warn of it again.

    Args:
        source: as in `load_images`; of others than folders nothing is printed.
    """
    if is_folder(source):
        folder = ImageFolder(Path(source).expanduser())
        print(describe(folder), flush=True)
        warnings.filterwarnings("ignore", re.escape(_warning(folder)))


def warn_of_lost(folder: ImageFolder) -> None:
    """Warns of what is left out, or is no class, and might have been wanted."""
    if folder.layout.beside or lost_pictures(folder):
        warnings.warn(_warning(folder), stacklevel=4)


def _warning(folder: ImageFolder) -> str:
    lost = lost_pictures(folder)
    parts = [_classes(folder)] * bool(folder.layout.beside)
    parts += [f"left out: {', '.join(lost)}"] * bool(lost)
    return f"{printable(folder.path)}: {'; '.join(parts)}"


def describe(folder: ImageFolder) -> str:
    """How many images, which classes and splits, what is left out and why."""
    splits = folder.layout.splits
    count = sum(len(split.images) for split in splits.values())
    parts = [f"{count:,} image{'s' * (count != 1)}", _classes(folder)]
    if any(split.folders for split in splits.values()):
        parts.append("splits " + ", ".join(_split(folder, name) for name in splits))
    else:
        parts.append("no splits")
    left_out = [*lost_pictures(folder), *_no_pictures(folder)]
    parts += [f"left out: {', '.join(left_out)}"] * bool(left_out)
    return f"{printable(folder.path)}: {'; '.join(parts)}"


def _classes(folder: ImageFolder) -> str:
    layout = folder.layout
    names, train = layout.class_names, layout.splits.get("train")
    if not names:
        beside = f", as {layout.beside:,} of them lie beside the sub-folders"
        return "no classes" + beside * bool(layout.beside)
    text = f"{len(names):,} classes ({_some(names)})"
    known = train.classes if train and train.classes else names
    unknown = sorted(set(names) - set(known))
    return text + (f", {_some(unknown)} not in train" if unknown else "")


def _split(folder: ImageFolder, name: str) -> str:
    split = folder.layout.splits[name]
    unlabelled = split.classes is None and folder.layout.class_names
    return (
        f"{printable(name)} ({len(split.images):,} in "
        f"{_some([f'{each}/' for each in split.folders])}"
        + (", no classes)" if unlabelled else ")")
    )


def lost_pictures(folder: ImageFolder) -> list[str]:
    """What is left out and might have been wanted, and why."""
    tree, layout = folder.tree, folder.layout
    pictures = {s: n for s, n in tree.others.items() if s in OTHER_PICTURES}
    return [
        *_reason("image(s) beside the folders", layout.stray),
        *_reason("image(s) that annotate others", layout.annotations),
        *_reason("link(s) to what is read already", tree.again),
        *_reason("broken link(s)", tree.broken),
        *_reason("folder(s) that may not be read", tree.closed),
        *_by_suffix("file(s), a format that is not read", pictures),
    ]


def _no_pictures(folder: ImageFolder) -> list[str]:
    tree = folder.tree
    filled = {path[:end] for path in tree.images for end in range(len(path))}
    empty = set(tree.folders) - filled - set(tree.closed)
    empty = sorted(path for path in empty if path[:-1] in filled)
    files = {s: n for s, n in tree.others.items() if s not in OTHER_PICTURES}
    return [
        *_reason("folder(s) without images", empty),
        *_reason("hidden", tree.hidden),
        *_by_suffix("file(s)", files),
    ]


def _reason(kind: str, paths: list[Parts]) -> list[str]:
    """`["3 broken link(s) (a.jpg, b.jpg and 1 more)"]`; none of none."""
    names = [os.path.join(*path) for path in paths]
    return [f"{len(names):,} {kind} ({_some(names, 2)})"] if names else []


def _by_suffix(kind: str, counts: dict[str, int]) -> list[str]:
    """`["3 .txt file(s)"]`, the most frequent first, and the rest in one."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    rest = sum(count for _, count in ordered[3:])
    return [
        *(f"{n:,} {printable(s) or 'nameless'} {kind}" for s, n in ordered[:3]),
        *([f"{rest:,} other {kind}"] if rest else []),
    ]


def _some(names, most: int = 5) -> str:
    """The first names, as a terminal may show them."""
    shown = ", ".join(printable(name) for name in names[:most])
    more = len(names) - most
    return f"{shown} and {more:,} more" if more > 0 else shown
