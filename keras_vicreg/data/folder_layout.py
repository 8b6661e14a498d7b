"""Which split and which class an image belongs to, by the folders that it lies in.

Everything here is about names: no file is touched.
"""

import dataclasses

from keras_vicreg.data.image_tree import Parts
from keras_vicreg.data.splits import split_of, splits_of

# Exports of detection and segmentation have the ones beside the others.
PICTURES = ("images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "photos")
ANNOTATIONS = (
    *("labels", "label", "annotations", "annotation", "masks", "mask", "bboxes"),
    *("segmentations", "segmentation", "segmentationclass", "segmentationobject"),
    *("gt", "gtfine", "groundtruth", "targets", "trimaps"),
)

# The path of an image, and what is left of it below the folders passed through.
Item = tuple[Parts, Parts]


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one split.

    Attributes:
        images: their paths, in order.
        classes: the class of each image; `None` without labels.
        folders: names of the folders that are called after the split.
    """

    images: list[Parts]
    classes: list[str] | None
    folders: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FolderLayout:
    """How the images of a folder fall into splits and classes.

    Attributes:
        splits: name -> `Split`; `"train"` alone, without folders, where there are none.
        stray: images beside the folders of the splits or of the classes.
        annotations: images that annotate others.
        beside: number of images beside sub-folders that are no classes therefore.
    """

    splits: dict[str, Split]
    stray: list[Parts]
    annotations: list[Parts]
    beside: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of all splits, in order; none without labels."""
        found = (split.classes or () for split in self.splits.values())
        return tuple(sorted(set().union(*found)))


def lay_out(images: list[Parts]) -> FolderLayout:
    """Finds splits and classes.

    Splits are folders side by side that are called so, or that lie so in every folder
    of a class. Classes are the sub-folders of the splits, or of a folder without
    splits, if there are two or more. A folder that holds nothing but one other folder
    is passed through. Images beside the folders of the classes are stray ones, unless
    they are more than lie in such a folder on average: then there are no classes.

    Args:
        images: paths below the folder, sorted.
    """
    folders, found = _find_splits(_enter([(path, path) for path in images]))
    kept = _enter_alike(found, folders)
    names = {name for some in kept.values() if _has_classes(some) for name in _of(some)}
    splits = {
        split: _split(some, len(names) > 1, folders[split])
        for split, some in kept.items()
    }
    read = {path for split in splits.values() for path in split.images}
    left_out = [path for path in images if path not in read]
    return FolderLayout(
        splits,
        stray=[path for path in left_out if not _annotates(path)],
        annotations=[path for path in left_out if _annotates(path)],
        beside=sum(
            _beside(some)
            for some in kept.values()
            if len(_of(some)) > 1 and not _has_classes(some)
        ),
    )


def _split(items: list[Item], labelled: bool, folders: tuple[str, ...]) -> Split:
    if not labelled or not _has_classes(items):
        return Split([path for path, _ in items], None, folders)
    inside = [(path, rest[0]) for path, rest in items if len(rest) > 1]
    return Split([path for path, _ in inside], [name for _, name in inside], folders)


def _has_classes(items: list[Item]) -> bool:
    """Whether no more images lie beside the sub-folders than in one, on average."""
    count = len(_of(items))
    return count > 0 and _beside(items) * (count + 1) <= len(items)


def _beside(items: list[Item]) -> int:
    """How many images lie in no sub-folder."""
    return sum(len(rest) == 1 for _, rest in items)


def _find_splits(items: list[Item]) -> tuple[dict, dict[str, list[Item]]]:
    """Of every split the names of its folders, and its images.

    Splits lie above the folders of the classes or inside every one of them.
    """
    groups = _grouped(items)
    top = splits_of(groups) or _one_split(groups)
    inner = {name: splits_of(_of(inside)) for name, inside in groups.items()}
    kinds = {split for splits in inner.values() for split in splits.values()}
    nested = not top and all(inner.values()) and len(kinds) > 1
    found, folders = {}, {}

    def put(split, folder, path, rest):
        found.setdefault(split, []).append((path, rest))
        folders.setdefault(split, {})[folder] = None

    for path, rest in items:
        if top and len(rest) > 1:
            put(top[rest[0]], rest[0], path, rest[1:])
        elif nested and len(rest) > 2:
            put(inner[rest[0]][rest[1]], rest[1], path, (rest[0], *rest[2:]))
    if not found:
        return {"train": ()}, {"train": items}
    return {split: tuple(names) for split, names in folders.items()}, found


def _one_split(groups: dict[str, list[Item]]) -> dict[str, str]:
    """Folder -> split, where one is called after a split and all hold its classes."""
    splits = {name: split_of(name) for name in groups if split_of(name)}
    if len(splits) != 1 or len(groups) == 1:
        return {}
    shared = set.intersection(*(set(_of(inside)) for inside in groups.values()))
    return {name: splits.get(name, name) for name in groups} if len(shared) > 1 else {}


def _enter(items: list[Item]) -> list[Item]:
    """The images below the folders that hold nothing but one other folder."""
    items = _without_annotations(items)
    while name := _only_folder(items):
        inside = _without_annotations(_inside(items, name))
        # A folder that is called after a split is one, unless it holds several.
        if split_of(name) and len(set(splits_of(_of(inside)).values())) < 2:
            return items
        items = inside
    return items


def _enter_alike(found: dict[str, list[Item]], folders) -> dict[str, list[Item]]:
    """The same inside of splits, where a class of its own must stay one.

    A split passes through a folder that is called after itself, and all together
    through one that is called alike in all.
    """
    while True:
        found = {split: _without_annotations(items) for split, items in found.items()}
        only = {split: _only_folder(some) for split, some in found.items() if _of(some)}
        if None in only.values() or len({*only.values()}) != 1:
            only = {
                split: name
                for split, name in only.items()
                if name and (name in folders[split] or split_of(name) == split)
            }
        if not only:
            return found
        found |= {split: _inside(found[split], name) for split, name in only.items()}


def _without_annotations(items: list[Item]) -> list[Item]:
    """The pictures, where all that lies beside them annotates them."""
    names = _of(items)
    pictures = [name for name in names if _plain(name) in PICTURES or split_of(name)]
    others = [name for name in names if name not in pictures]
    if not pictures or not others or not all(_annotates((name, "")) for name in others):
        return items
    return [item for item in items if len(item[1]) == 1 or item[1][0] in pictures]


def _annotates(path: Parts) -> bool:
    """Whether an image lies in a folder that is called after annotations."""
    return any(_plain(name) in ANNOTATIONS for name in path[:-1])


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _of(items: list[Item]) -> list[str]:
    """Names of the folders that the images lie in."""
    return list(dict.fromkeys(rest[0] for _, rest in items if len(rest) > 1))


def _only_folder(items: list[Item]) -> str | None:
    """Name of the folder that all the images lie in, if they do.

    A few may lie beside it, if there are several folders in it.
    """
    names, beside = _of(items), _beside(items)
    if len(names) != 1 or 2 * beside > len(items):
        return None
    several = not beside or len(_of(_enter(_inside(items, names[0])))) > 1
    return names[0] if several else None


def _inside(items: list[Item], name: str) -> list[Item]:
    """The images in one of the folders."""
    return _grouped(items)[name]


def _grouped(items: list[Item]) -> dict[str, list[Item]]:
    """The images in each of the folders."""
    groups = {}
    for path, rest in items:
        if len(rest) > 1:
            groups.setdefault(rest[0], []).append((path, rest[1:]))
    return groups
