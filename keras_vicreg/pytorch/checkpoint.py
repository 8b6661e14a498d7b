"""What a PyTorch checkpoint is of: the network its keys describe."""

import dataclasses
import hashlib
import re

from keras_vicreg.encoders.registry import find_resnet
from keras_vicreg.pytorch import files as torch_files

WRAPPERS = ("model", "state_dict", "backbone")
# Counters of batch normalization, and the classifier of a supervised network.
UNUSED = re.compile(r"(.*\.)?num_batches_tracked|(fc|classifier)\.(weight|bias)")
LISTED = 10  # keys in an error


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a PyTorch checkpoint holds.

    Attributes:
        sha256: The hash of the file, in hexadecimal.
        name: The encoder's name, one of `kv.ENCODERS`.
        options: The encoder's options, `stem` and `width`.
        units: The widths of the expander's layers; `None` in a backbone file.
        unused: The keys that have no place in an encoder, such as a classifier's.
        backbone: Key -> tensor of the encoder.
        projector: Key -> tensor of the expander; empty in a backbone file.
    """

    sha256: str
    name: str
    options: dict
    units: tuple | None
    unused: tuple
    backbone: dict = dataclasses.field(repr=False)
    projector: dict = dataclasses.field(repr=False)


def read_checkpoint(path) -> Checkpoint:
    """Reads a PyTorch checkpoint and infers the networks in it from its keys.

    Args:
        path: A `.pth` file of either format or a `.safetensors` file: a ResNet's
            state dict (the authors', torchvision's, timm's), bare or under `"model"`,
            `"state_dict"` or `"backbone"`, or a full checkpoint of the authors' code.

    Raises:
        ValueError: If the file cannot be read, or holds no such network.
    """
    tensors = _state_dict(torch_files.read(path), path)
    parts = {"backbone": {}, "projector": {}}
    unused = []
    for key, tensor in tensors.items():
        key = key.removeprefix("module.")
        part, _, rest = key.partition(".")
        if part not in parts:
            part, rest = "backbone", key
        if UNUSED.fullmatch(rest):
            unused.append(key)
        else:
            parts[part][rest] = tensor
    name, options = _read_layout(parts["backbone"], path)
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    units = _units(parts["projector"]) if parts["projector"] else None
    return Checkpoint(sha256, name, options, units, tuple(unused), **parts)


def _state_dict(content, path):
    """The dict of tensors in what a checkpoint holds."""
    while isinstance(content, dict):
        if any(hasattr(value, "__array__") for value in content.values()):
            return {k: v for k, v in content.items() if hasattr(v, "__array__")}
        content = next((content[w] for w in WRAPPERS if w in content), None)
    raise ValueError(
        f"`path` must hold a state dict, bare or under {', '.join(WRAPPERS)}. "
        f"Received: {path}, which holds none"
    )


def _read_layout(tensors, path):
    """The name and options of the encoder whose state dict this is."""
    found = [re.fullmatch(r"layer(\d+)\.(\d+)\.conv1\.weight", key) for key in tensors]
    stages = [int(match[1]) for match in found if match]
    depths = tuple(
        stages.count(stage) for stage in range(1, max(stages, default=0) + 1)
    )
    block = "bottleneck" if "layer1.0.conv3.weight" in tensors else "basic"
    try:
        filters, _, kernel, _ = tensors["conv1.weight"].shape
        name, width = find_resnet(block, depths, filters)
    except (KeyError, ValueError):
        raise ValueError(
            "`path` must hold a ResNet of the layout of one of `kv.ENCODERS`. "
            f"Received: {path}, with {block} blocks {depths or 'of no stage'} and keys "
            f"{', '.join(list(tensors)[:LISTED])}"
        ) from None
    return name, {"stem": "cifar" if kernel == 3 else "imagenet", "width": width}


def _units(tensors):
    """The widths of a head's layers, from the kernels of its linear layers."""
    kernels = {key: t.shape for key, t in tensors.items() if len(t.shape) == 2}
    order = sorted(kernels, key=lambda key: [int(n) for n in re.findall(r"\d+", key)])
    return tuple(kernels[key][0] for key in order)
