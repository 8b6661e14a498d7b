"""Folders of image files, with splits and classes or without."""

import os
from pathlib import Path

from keras_vicreg.data.folder_layout import lay_out
from keras_vicreg.data.hugging_face import is_saved
from keras_vicreg.data.image_tree import EXTENSIONS, read_tree
from keras_vicreg.data.sources import ImageSource, listed
from keras_vicreg.data.splits import find_split


class ImageFolder:
    """A folder of image files.

    Args:
        path: of the folder.

    Attributes:
        tree: the `ImageTree`, all that lies in it.
        layout: the `FolderLayout`, its splits and classes.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.tree = read_tree(self.path)
        self.layout = lay_out(self.tree.images)

    def source(self, split: str) -> ImageSource:
        """The images of a split, in any usual spelling, or of `"all"`.

        Raises:
            ValueError: if there are none.
        """
        chosen = self._chosen(split)
        labelled = all(each.classes for each in chosen)
        names = self.layout.class_names if labelled else ()
        numbers = {name: number for number, name in enumerate(names)}
        found = []
        for each in chosen:
            found += zip(each.images, each.classes or [None] * len(each.images))
        records = [
            (
                os.path.join(*path),
                str(self.path.joinpath(*path)),
                numbers.get(name, -1),
            )
            for path, name in sorted(found)
        ]
        return listed(records, names or None)

    def _chosen(self, split: str) -> list:
        splits = self.layout.splits
        if not self.tree.images:
            raise ValueError(
                f"`source` must hold images ({', '.join(EXTENSIONS)}) directly or in "
                f"sub-folders. Received: source={str(self.path)!r} without any, "
                f"{self._other_files()}"
            )
        if split == "all":
            return list(splits.values())
        folders = {name: key for key, each in splits.items() for name in each.folders}
        name = find_split(split, list(splits)) or folders.get(split)
        if name is None:
            raise ValueError(
                f"`split` must be one of {[*sorted(splits), 'all']}, the splits of "
                f"{str(self.path)!r}. Received: split={split!r}"
            )
        return [splits[name]]

    def _other_files(self) -> str:
        if () in self.tree.closed:
            return "which may not be read"
        held = [f"{n:,} {s or 'nameless'}" for s, n in self.tree.others.most_common(3)]
        return f"with {', '.join(held)}" if held else "with no other files either"


def is_folder(source) -> bool:
    """Whether a source is the path of a folder of image files."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    path = Path(source).expanduser()
    return path.is_dir() and not is_saved(path)
