"""What a PyTorch checkpoint is of: the network its keys describe."""

import collections
import dataclasses
import hashlib
import itertools
import os
import re

from keras_vicreg.encoders.registry import find_resnet
from keras_vicreg.pytorch import files
from keras_vicreg.pytorch.networks import find_prefix, tensors_in
from keras_vicreg.terminal import printable

COUNTER = "num_batches_tracked"  # of batch normalization
# What belongs to a network of this family has to have its place in an encoder. Beside
# it, with names of their own, stand heads.
PART_OF_RESNET = re.compile(
    r"(conv|bn|gn|norm|layer|stem|downsample|shortcut|pool|avgpool|attnpool)\d*"
)
PATCHES = "patch_embed.proj.weight"  # of a vision transformer
LISTED = 10  # keys in an error


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a PyTorch checkpoint holds.

    Attributes:
        sha256: The hash of the file, in hexadecimal.
        name: The encoder's name, one of `kv.ENCODERS`.
        options: The encoder's options, `stem` and `width`.
        units: The widths of the expander's layers; `None` where there is none.
        prefix: What the keys of the encoder begin with in the file, those of the
            dicts around it included.
        others: The prefixes of the other ResNets in the file.
        unused: The full names of the tensors that were left out: heads, counters,
            other networks, the state of an optimizer.
        backbone: Key -> tensor of the encoder.
        projector: Key -> tensor of the expander; empty where there is none.
    """

    sha256: str
    name: str
    options: dict
    units: tuple | None
    prefix: str
    others: tuple
    unused: tuple
    backbone: dict = dataclasses.field(repr=False)
    projector: dict = dataclasses.field(repr=False)

    @property
    def lacks_projector(self) -> bool:
        """Whether a projector was left out, since it is no expander of VICReg."""
        start = _projector_prefix(self.prefix)
        if start is None or self.units is not None:
            return False
        return any(name.startswith(start) for name in self.unused)

    def left_out(self) -> dict[str, int]:
        """What was left out, in words: subtree of the file -> number of tensors.

        A subtree is as large as it can be without a tensor that was taken.
        """
        taken = [self.prefix + key for key in (*self.backbone, "")]
        kept = {end for name in taken for end in _ancestors(name)}
        if self.projector:
            kept.add(_projector_prefix(self.prefix))
        counts = collections.Counter()
        for name in self.unused:
            whole = (end for end in _ancestors(name) if end not in kept)
            counts[COUNTER if name.endswith(COUNTER) else next(whole, name)] += 1
        return dict(counts)


def read_checkpoint(path, prefix=None) -> Checkpoint:
    """Reads a PyTorch checkpoint and finds the networks in it by their keys.

    Args:
        path: A `.pth` file of either format or a `.safetensors` file with the state
            dict of a ResNet, bare or inside any dicts and modules that a training
            script put around it.
        prefix: The network to take where there are several: what its keys begin
            with, or a part of that, such as `"student"`. Defaults to the one that the
            authors of such a checkpoint evaluate, the query encoder or the teacher.

    Raises:
        ValueError: If the file cannot be read, holds no such network, or several of
            which none is known to be the one.
    """
    shown = printable(path)
    tensors, modules = tensors_in(files.read(path))
    try:
        prefix, others = find_prefix(tensors, prefix)
    except LookupError:
        raise ValueError(_nothing_found(shown, tensors, modules)) from None
    inside = {name: _key(name, prefix) for name in tensors if _is_part(name, prefix)}
    backbone = {key: tensors[name] for name, key in inside.items()}
    name, options, features = _read_layout(backbone, shown)
    head = _head_beside(tensors, prefix)
    projector = {key: tensors[name] for name, key in head.items()}
    units = _expander_units(projector, features)
    if units is None:
        head, projector = {}, {}
    taken = inside | head
    _check_size(shown, os.path.getsize(path), [tensors[name] for name in taken])
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    unused = tuple(name for name in tensors if name not in taken)
    return Checkpoint(
        *(sha256, name, options, units, prefix, tuple(others), unused),
        *(backbone, projector),
    )


def _ancestors(name):
    """`"a."`, `"a.b."` of `"a.b.c"`."""
    return (name[: i + 1] for i, char in enumerate(name) if char == ".")


def _is_part(name, prefix) -> bool:
    """Whether a tensor belongs to the ResNet of a prefix."""
    first = name[len(prefix) :].partition(".")[0]
    inside = name.startswith(prefix) and not name.endswith(COUNTER)
    return inside and PART_OF_RESNET.fullmatch(first) is not None


def _key(name, prefix) -> str:
    """The key of a tensor in torchvision's ResNet; some for CIFAR say `shortcut`."""
    return name.removeprefix(prefix).replace(".shortcut.", ".downsample.")


def _projector_prefix(prefix):
    """Where VICReg's code has the projector of a backbone, if it is one."""
    if not f".{prefix}".endswith(".backbone."):
        return None
    return prefix.removesuffix("backbone.") + "projector."


def _head_beside(tensors, prefix) -> dict:
    """Name -> key of the tensors in the projector of a backbone."""
    start = _projector_prefix(prefix)
    return {
        name: name.removeprefix(start)
        for name in tensors
        if start and name.startswith(start) and not name.endswith(COUNTER)
    }


def _read_layout(tensors, path):
    """Name, options and features of the encoder whose state dict this is."""
    found = [re.fullmatch(r"layer(\d+)\.(\d+)\.conv1\.weight", key) for key in tensors]
    stages = collections.Counter(match[1] for match in found if match)
    depths = tuple(stages[str(i)] for i in range(1, len(stages) + 1))
    deep = "layer1.0.conv3.weight" in tensors
    block = "bottleneck" if deep else "basic"
    try:
        filters, _, kernel, _ = tensors["conv1.weight"].shape
        name, width = find_resnet(block, depths, filters)
    except (KeyError, ValueError):
        raise ValueError(
            "`path` must hold a ResNet of the layout of one of `kv.ENCODERS`. Received"
            f": {path}, with {block} blocks {depths[:LISTED]} and keys "
            f"{listed(tensors)}"
        ) from None
    options = {"stem": "cifar" if kernel == 3 else "imagenet", "width": width}
    return name, options, filters * 2 ** (len(depths) - 1) * (4 if deep else 1)


def _expander_units(tensors, features):
    """The widths of the layers of VICReg's projector, `None` of any other head.

    It has linear layers with bias, each before batch normalization and a ReLU that
    has no tensor, and a last one without bias.
    """
    units, names = [], set()
    for place in itertools.count(0, 3):
        shape = tuple(getattr(tensors.get(f"{place}.weight"), "shape", ()))
        if len(shape) != 2 or shape[1] != features:
            return None
        features = shape[0]
        units.append(features)
        names |= {f"{place}.weight"}
        if f"{place}.bias" not in tensors:
            return tuple(units) if names == set(tensors) else None
        norm = ("weight", "bias", "running_mean", "running_var")
        names |= {f"{place}.bias", *(f"{place + 1}.{part}" for part in norm)}


def _check_size(path, size, tensors) -> None:
    """Raises where views of a few numbers pass for a large network."""
    needed = sum(tensor.nbytes for tensor in tensors)
    if needed > size:
        raise ValueError(
            "The tensors of a network must each have their own numbers. "
            f"Received: {needed:,} bytes in {path} of {size:,}"
        )


def _nothing_found(path, tensors, modules) -> str:
    """What is in a checkpoint without a ResNet, and what to do about it."""
    if modules:
        return (
            "`path` must hold a state dict. "
            f"Received: {path}, which holds a whole pickled module, "
            f"{printable(modules[0])}, whose code is not run: save its tensors alone, "
            "`torch.save(model.state_dict(), new_path)`"
        )
    if not tensors:
        return f"`path` must hold a state dict. Received: {path}, without a tensor"
    if any(name.endswith(PATCHES) for name in tensors):
        kind = "a vision transformer, which is not converted"
    else:
        kind = "no conv1.weight beside layer1.0.conv1.weight"
    return (
        "`path` must hold a ResNet of the layout of one of `kv.ENCODERS`. "
        f"Received: {path}, with {kind}; its keys are {listed(tensors)}"
    )


def listed(names) -> str:
    """The first of some names of a stranger's, for an error."""
    more = ", ..." if len(names) > LISTED else ""
    return ", ".join(map(printable, list(names)[:LISTED])) + more
