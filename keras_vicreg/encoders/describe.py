"""The name and options of an encoder, read from its layers.

Nothing is stored on the side, so an encoder that was loaded from a file, or made by
hand in the same layout, is known as well. What was read is checked by building the
network it describes, without memory for its weights, and comparing the two.
"""

import math
import re

import numpy as np

from keras_vicreg.encoders.deferred_variables import deferred_variables
from keras_vicreg.encoders.registry import ENCODERS, encoder, find_resnet
from keras_vicreg.encoders.vit import vit

# What two equal networks may differ in: precision, and how their values came to be.
# The normalisation is compared by value.
FREE = re.compile(".*dtype|trainable|synchronized|.*_initializer|scale|offset")


def describe_encoder(model):
    """The name and options from which `kv.encoder` builds the same network.

    Args:
        model: A `keras.Model`.

    Returns:
        `(name, options)`: a key of `kv.ENCODERS`, and all of its options, with
        `image_shape`, as plain JSON values.

    Raises:
        ValueError: If `model` is none of `kv.ENCODERS`.

    Example:

    >>> describe_encoder(kv.encoder("resnet18", (32, 32, 3), stem="cifar"))[0]
    'resnet18'
    """
    try:
        layers = {layer.name: layer for layer in model.layers}
        read = _read_resnet if "conv1" in layers else _read_vit
        name, options = read(layers)
        options |= _read_normalization(model)
        options["image_shape"] = list(model.input_shape[1:])
        with deferred_variables(keep=False):
            copy = encoder(name, **options)
            same = _structure(copy) == _structure(model)
        same = same and all(
            np.allclose(*numbers, rtol=1e-12, atol=0)
            for numbers in zip(*(_scale_and_offset(m) for m in (copy, model)))
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        same = False
    if not same:
        raise ValueError(
            f"`model` must be one of {', '.join(ENCODERS)}, made by `kv.encoder`. "
            f"Received: {getattr(model, 'name', model)!r}, of another structure"
        )
    return name, options


def _read_resnet(layers):
    found = [re.fullmatch(r"layer(\d)_(\d+)_conv1", name) for name in layers]
    stages = [int(match[1]) for match in found if match]
    depths = tuple(stages.count(stage) for stage in sorted(set(stages)))
    block = "bottleneck" if "layer1_0_conv3" in layers else "basic"
    name, width = find_resnet(block, depths, layers["conv1"].filters)
    stem = "cifar" if layers["conv1"].kernel_size == (3, 3) else "imagenet"
    return name, {"stem": stem, "width": width}


def _read_vit(layers):
    patch_size, *_, features = layers["patch_embed"].kernel.shape
    depth = sum(name.endswith("_attn") for name in layers)
    layout = (features, depth, layers["blocks_0_attn"].num_heads)
    name = {build.args: name for name, build in ENCODERS.items() if build.func is vit}[
        layout
    ]
    return name, {"patch_size": patch_size}


def _scale_and_offset(model):
    layer = model.get_layer("normalization")
    return np.array(layer.scale).ravel(), np.array(layer.offset).ravel()


def _read_normalization(model):
    """Mean and std, the shortest decimals that give the layer's scale and offset."""
    scale, offset = _scale_and_offset(model)
    std = 1 / (255 * scale)
    return {
        "mean": [_shortest(m) for m in (-offset * std).tolist()],
        "std": [_shortest(s) for s in std.tolist()],
    }


def _shortest(value):
    decimals = (float(f"{value:.{digits}g}") for digits in range(1, 18))
    return next(d for d in decimals if math.isclose(d, value, rel_tol=1e-14)) + 0.0


def _structure(model):
    """The layers, their settings and their connections, as comparable data."""
    config = model.get_config()
    layers = [
        (
            layer["class_name"],
            layer["module"],
            *map(_plain, (layer["config"], layer["inbound_nodes"])),
        )
        for layer in config["layers"]
    ]
    return _picks_folded(layers), config["output_layers"]


def _picks_folded(layers):
    """The layers with a strided convolution for one that follows a pick of pixels.

    The two compute the same; narrow ResNets of earlier versions have the former.
    """
    picks = {
        config["name"]: (config, inbound)
        for class_name, _, config, inbound in layers
        if (class_name, config.get("pool_size")) == ("AveragePooling2D", [1, 1])
    }
    folded = []
    for class_name, module, config, inbound in layers:
        pick = config["name"].removesuffix("_0") + "_pick"
        if pick in picks and config["strides"] == [1, 1]:
            window, inbound = picks.pop(pick)
            config |= {key: window[key] for key in ("strides", "padding")}
        if config["name"] not in picks:
            folded.append((class_name, module, config, inbound))
    return folded


def _plain(value):
    """`value` without what is free, and of a tensor only where it comes from."""
    if isinstance(value, dict):
        if "keras_history" in value:
            return value["keras_history"]
        return {k: _plain(v) for k, v in value.items() if not FREE.fullmatch(k)}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
