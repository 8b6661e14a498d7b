"""PyTorch checkpoints -> encoders and pretraining models, and encoders -> PyTorch.

Nothing of PyTorch is needed, and nothing in a file is run. An encoder's layers have
the names of the PyTorch modules, so the whole conversion is the table `_parameters`.
"""

import warnings

import keras
import numpy as np
from keras import layers

from keras_vicreg.encoders.deferred_variables import deferred_variables, start_with
from keras_vicreg.encoders.describe import describe_encoder
from keras_vicreg.encoders.registry import encoder as make_encoder
from keras_vicreg.heads import expander as make_expander
from keras_vicreg.pytorch import files as torch_files
from keras_vicreg.pytorch.checkpoint import listed, read_checkpoint
from keras_vicreg.terminal import printable


def convert_torch(checkpoint_path, encoder=None, *, prefix=None):
    """Converts a PyTorch checkpoint.

    The ResNet in it is found by its keys, whatever dicts and modules are around it.
    Every tensor of the network must have its place and every place its tensor; heads
    beside it, other networks and what else a training script saved are left out.

    Args:
        checkpoint_path: See `read_checkpoint`.
        encoder: The encoder to fill, made with `kv.encoder`. Defaults to `None`: the
            one whose layout the checkpoint has, for images of 224 x 224 pixels, or
            32 x 32 with the CIFAR stem, normalised as ImageNet.
        prefix: What the keys of the network begin with, or a part of that, where the
            checkpoint holds several. Defaults to the one that the authors of such a
            checkpoint evaluate; a warning says which that was.

    Returns:
        The encoder; from a full checkpoint of VICReg's code a `kv.VICReg` with encoder
        and expander, ready to be compiled and trained on.

    Raises:
        ValueError: If the file cannot be read, holds several networks of which none
            is known to be the one, or its tensors do not fit; the message lists them.

    Example:

    ```python
    encoder = kv.convert_torch("resnet50.pth")
    representations = encoder.predict(images)  # (n, 2048)
    ```
    """
    checkpoint = read_checkpoint(checkpoint_path, prefix)
    _warn_of_choices(checkpoint, checkpoint_path, chosen=prefix is not None)
    given = encoder is not None
    with deferred_variables():  # memory is given only to what is known to fit
        encoder = encoder if given else _encoder_of(checkpoint)
        model, values = (
            encoder,
            _match(_encoder_parameters(encoder), checkpoint.backbone, "backbone"),
        )
        if checkpoint.units:
            head = make_expander(checkpoint.units)
            head.build((None, encoder.output_shape[-1]))
            values += _match(_head_parameters(head), checkpoint.projector, "projector")
        for variable, value in values if not given else ():
            start_with(variable, value)
    for variable, value in values if given else ():
        variable.assign(value)
    if checkpoint.units:
        from keras_vicreg.methods.vicreg import VICReg

        model = VICReg(encoder, head)
    _smoke_test(model, encoder.input_shape[1:])
    return model


def _encoder_of(checkpoint):
    """The encoder of the layout that a checkpoint has."""
    side = 32 if checkpoint.options["stem"] == "cifar" else 224
    return make_encoder(checkpoint.name, (side, side, 3), **checkpoint.options)


def _warn_of_choices(checkpoint, path, chosen) -> None:
    """Says what was decided about a checkpoint without being asked for."""
    if checkpoint.others and not chosen:
        warnings.warn(
            f"{printable(path)} holds {len(checkpoint.others) + 1} networks: "
            f"{checkpoint.prefix!r} was taken; `prefix` takes another, "
            f"{listed(checkpoint.others)}.",
            stacklevel=3,
        )
    if checkpoint.lacks_projector:
        warnings.warn(
            f"The encoder of {printable(path)} was taken alone: its projector is no "
            "expander of VICReg (linear layers with bias, each before batch "
            "normalization, and a last one without bias).",
            stacklevel=3,
        )


def export_torch(encoder, path) -> None:
    """Writes an encoder as a PyTorch state dict.

    Args:
        encoder: A ResNet of `kv.encoder`.
        path: Where to, `.pth` or `.safetensors`. `torch.load(path)` gives a state
            dict that torchvision's ResNet of the same layout loads strictly once its
            classifier is out of the way, `model.fc = torch.nn.Identity()`. It wants
            images in 0..1, normalised with the encoder's mean and std.

    Raises:
        ValueError: If `encoder` is no ResNet of `kv.encoder`.
    """
    name, _ = describe_encoder(encoder)
    if not name.startswith("resnet"):
        raise ValueError(f"`encoder` must be a ResNet. Received: {name!r}")
    arrays = {}
    for key, (variable, axes) in _encoder_parameters(encoder).items():
        value = keras.ops.convert_to_numpy(variable)
        arrays[key] = value.transpose(np.argsort(axes))
        if key.endswith("running_var"):
            counter = key.replace("running_var", "num_batches_tracked")
            arrays[counter] = np.zeros((), "int64")
    torch_files.write(path, arrays)


def _parameters(layer) -> dict:
    """Name in PyTorch -> variable, and the tensor's axes in the variable's order."""
    if isinstance(layer, layers.Conv2D):
        return {"weight": (layer.kernel, (2, 3, 1, 0))}
    if isinstance(layer, layers.Dense):
        bias = {"bias": (layer.bias, (0,))} if layer.use_bias else {}
        return {"weight": (layer.kernel, (1, 0)), **bias}
    if isinstance(layer, layers.BatchNormalization):
        return {
            "weight": (layer.gamma, (0,)),
            "bias": (layer.beta, (0,)),
            "running_mean": (layer.moving_mean, (0,)),
            "running_var": (layer.moving_variance, (0,)),
        }
    return {}


def _encoder_parameters(encoder) -> dict:
    return {
        f"{layer.name.replace('_', '.')}.{name}": place
        for layer in encoder.layers
        for name, place in _parameters(layer).items()
    }


def _head_parameters(head) -> dict:
    return {
        f"{index}.{name}": place
        for index, layer in enumerate(head.layers)
        for name, place in _parameters(layer).items()
    }


def _match(places, tensors, part):
    """Pairs of variable and value, once every tensor is known to fit."""
    shapes = {
        key: tuple(variable.shape[i] for i in np.argsort(axes))
        for key, (variable, axes) in places.items()
    }
    problems = {
        "missing": sorted(shapes.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - shapes.keys()),
        "wrongly shaped": [
            f"{key} {tuple(tensors[key].shape)} for {shape}"
            for key, shape in shapes.items()
            if key in tensors and tuple(tensors[key].shape) != shape
        ],
    }
    if any(problems.values()):
        words = [
            f"{len(keys)} {kind} ({listed(keys)})"
            for kind, keys in problems.items()
            if keys
        ]
        raise ValueError(
            f"The {part} of the checkpoint must have the encoder's keys and shapes. "
            f"Received: {'; '.join(words)}"
        )
    values = []
    for key, (variable, axes) in places.items():
        value = np.asarray(tensors[key])
        if value.dtype.kind not in "fV":  # NumPy's kind of bfloat16 is "V"
            raise ValueError(
                "The tensors must be of floating point. "
                f"Received: {key} of dtype {value.dtype}"
            )
        if value.dtype != "float64":
            value = value.astype("float32", copy=False)
        if not np.isfinite(value).all():
            raise ValueError(f"The tensors must be finite. Received: {key} with NaN")
        values.append((variable, value.transpose(axes)))
    return values


def _smoke_test(model, image_shape):
    """Raises if the model does not give finite numbers for an image of noise."""
    shape = [64 if side is None else side for side in image_shape]
    images = np.random.default_rng(0).integers(0, 256, (1, *shape)).astype("float32")
    if not np.isfinite(keras.ops.convert_to_numpy(model(images))).all():
        raise ValueError("The checkpoint must give finite outputs. Received: NaN")
