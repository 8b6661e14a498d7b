"""Where in a checkpoint its networks stand, and which of them is the one to take.

A ResNet is known by its keys, whatever a training script wrapped it in: under some
prefix there are a stem and a first block.
"""

from collections import deque

from keras_vicreg.pytorch.inert_pickle import Unknown

STEM, FIRST_BLOCK = "conv1.weight", "layer1.0.conv1.weight"
MAX_NAME = 500  # characters
MAX_TENSORS = 1 << 18
LISTED = 10  # prefixes in an error
# Parts of a prefix, from what the authors of a method evaluate to the copies beside
# it. What is in no line comes after the second.
RANKS = (
    {"online_encoder", "online_network"},  # of BYOL, whose target is the copy
    {"teacher", "target_encoder"},  # of DINO and MSN, whose student is the copy
    {"query_backbone", "teacher_backbone"},  # beside a `backbone`, as lightly has them
    {
        *("student", "student_backbone", "key_backbone", "encoder_k", "model_ema"),
        *("momentum_encoder", "momentum_backbone", "momentum_network"),
        *("target_net", "target_network", "target_backbone"),
    },
)
UNRANKED = 1.5


def tensors_in(content) -> tuple[dict, list]:
    """All tensors in nested dicts and lists.

    Args:
        content: What `files.read` gave. A container that comes twice, or holds
            itself, is looked into once.

    Returns:
        Keys of all levels with `.` between them -> tensor; and the classes of the
        PyTorch modules that stand in place of tensors.

    Raises:
        ValueError: If there are more tensors than any network has.
    """
    tensors, modules = {}, []
    waiting, seen = deque([("", content)]), set()
    while waiting:
        name, value = waiting.popleft()
        if hasattr(value, "__array__"):
            tensors[name] = value
            if len(tensors) > MAX_TENSORS:
                raise ValueError(
                    f"`path` must hold {MAX_TENSORS} tensors at most. Received: more"
                )
        elif isinstance(value, Unknown):
            modules += [value.path] if value.is_module else []
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(_items(name, value))
    return tensors, modules


def _items(name, container):
    """Full name and value of what may hold tensors in a dict or list."""
    pairs = container.items() if isinstance(container, dict) else enumerate(container)
    kinds = (dict, list, tuple, Unknown)
    for key, value in pairs:
        if isinstance(value, kinds) or hasattr(value, "__array__"):
            key = str(key) if isinstance(key, int) else key
            if isinstance(key, str) and len(name) + len(key) < MAX_NAME:
                yield f"{name}.{key}" if name else key, value


def find_prefix(names, prefix=None) -> tuple[str, list[str]]:
    """The prefix of the ResNet to take, and those of the others.

    Args:
        names: The names of all tensors.
        prefix: The one to take, whole or parts of it that no other has. Defaults to
            the one that the authors of such a checkpoint evaluate.

    Returns:
        `(prefix, others)`; a prefix is empty or ends with `.`.

    Raises:
        LookupError: If there is no ResNet.
        ValueError: If it is not clear which one to take.
    """
    found = [
        start
        for name in names
        if name.endswith(FIRST_BLOCK)
        for start in [name.removesuffix(FIRST_BLOCK)]
        if (not start or start.endswith(".")) and start + STEM in names
    ]
    if not found:
        raise LookupError("no ResNet")
    if prefix is None:
        best = min(map(_rank, found))
        chosen = [start for start in found if _rank(start) == best]
    else:
        end = f"{str(prefix).rstrip('.')}." if prefix else ""
        chosen = [start for start in found if start == end]
        chosen = chosen or [s for s in found if end and f".{end}" in f".{s}"]
    if len(chosen) != 1:
        raise ValueError(
            "`prefix` must name one of the networks in the checkpoint, which are "
            f"{_listed(found)}. Received: prefix={prefix!r}"
        )
    return chosen[0], [start for start in found if start != chosen[0]]


def _rank(prefix) -> float:
    """How far a prefix is from what its authors evaluate."""
    parts = prefix.split(".")
    ranks = [rank for rank, names in enumerate(RANKS) for p in parts if p in names]
    return max(ranks, default=UNRANKED)


def _listed(prefixes) -> str:
    more = ", ..." if len(prefixes) > LISTED else ""
    return ", ".join(map(repr, prefixes[:LISTED])) + more
