"""What splits are called: train, validation and test, however they are spelled."""

import re

WORDS = {
    "train": ("train", "training", "trainval", "trn"),
    "validation": ("validation", "validate", "valid", "val", "dev", "devel"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "holdout"),
}
SPLIT_OF = {word: split for split, words in WORDS.items() for word in words}

# Beside the split's word these say nothing: `train_images`, `test set`, `trainA`.
NEUTRAL = {"data", "set", "split", "part", "image", "img", "photo", "picture", "jpg"}


def split_of(name: str) -> str | None:
    """The split that a folder is called after: `"Train"`, `"val2017"`, `"test_set"`.

    Returns:
        `"train"`, `"validation"`, `"test"`, or `None` for any other name.
    """
    split, rest = _read(name)
    return split if rest == () else None


def splits_of(names) -> dict[str, str]:
    """The splits that folders side by side are, by the names of the folders.

    Two of them at least must be named after different splits and alike otherwise
    (`seg_train`, `seg_test`), or all of them after splits. Other folders beside two
    splits are splits under their own names: a class may be called "train", but then it
    has classes beside it, and no other split.

    Args:
        names: of the folders.

    Returns:
        A dict: name of the folder -> its split; empty where they are no splits.
    """
    read = {name: _read(name) for name in names}
    kinds = {}  # what the name says besides -> the splits
    for split, rest in read.values():
        if split:
            kinds.setdefault(rest, set()).add(split)
    chosen = {rest for rest, splits in kinds.items() if len(splits) > 1}
    all_named = bool(names) and all(split for split, _ in read.values())
    if () in chosen or (all_named and set(kinds) == {()}):
        chosen = {()}
    elif all_named and len(set.union(*kinds.values())) > 1:
        chosen = chosen or set(kinds)
    if not chosen:
        return {}
    return {
        name: s if rest in chosen and s else name for name, (s, rest) in read.items()
    }


def find_split(asked: str, known) -> str | None:
    """Which of the splits of a source is meant, in any usual spelling.

    Args:
        asked: such as `"val"`. An expression, such as `"train[:10%]"`, is no name.
        known: names of splits, such as `["train", "validation"]`.

    Returns:
        One of `known`, or `None`.
    """
    if asked in known:
        return asked
    split = split_of(asked) if re.fullmatch(r"[\w .-]+", asked) else None
    meant = [name for name in known if split and split_of(name) == split]
    same = [name for name in known if name.casefold() == asked.casefold()]
    return next(iter(same + meant), None)


def _read(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The split that a name holds, if it holds one, and what it says besides.

    Words begin at capitals, too; digits, such as a year, say nothing.
    """
    words = re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+", name)
    words = [_singular(word.casefold()) for word in words]
    splits = {SPLIT_OF[word] for word in words if word in SPLIT_OF}
    if len(splits) != 1:
        return None, ()
    others = (w for w in words if w not in SPLIT_OF and w not in NEUTRAL)
    return splits.pop(), tuple(word for word in others if len(word) > 1)


def _singular(word: str) -> str:
    """`images` -> `image`, `trainset` -> `train`."""
    word = word.removesuffix("s") if len(word) > 3 else word
    return word.removesuffix("set") if len(word) > 3 else word
