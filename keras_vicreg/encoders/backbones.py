"""Any Keras model as an encoder: images in 0..255 -> representations."""

import warnings

import keras
from keras import layers

from keras_vicreg.encoders.input_scaling import find_scaling

SLOW_MOMENTUM = 0.99


def as_encoder(model):
    """An encoder from a model that maps images to vectors or to feature maps.

    A model that gives vectors from 0..255 is returned as it is. Any other is nested
    whole in a new functional model, with the layer in front that its images need
    where it is of a known family (keras.applications, KerasCV, KerasHub) and scales
    nothing itself, and with an average over positions behind. Weights are shared.

    Args:
        model: A `keras.Model` with one input, images `(batch, height, width,
            channels)`, and one output: vectors `(batch, features)`, tokens `(batch,
            positions, features)` or feature maps `(batch, height, width, features)`.

    Returns:
        A `keras.Model`: images `(batch, height, width, channels)` in 0..255 ->
        representations `(batch, features)`.

    Raises:
        ValueError: If `model` is not such a model; the message says what to do.

    Example:

    ```python
    backbone = keras.applications.MobileNetV3Small(include_top=False, weights=None)
    model = kv.VICReg(backbone)  # takes it through `as_encoder`
    ```
    """
    image_shape = check_input(model)
    output = check_output(model)
    scale, words = find_scaling(model)
    if scale is None and isinstance(output, keras.KerasTensor) and output.ndim == 2:
        return model
    if scale is not None:
        warnings.warn(
            f"{model.name!r} expects images as {words}: a layer that makes them so "
            "from 0..255 was put in front of it. Give the encoder 0..255.",
            stacklevel=2,
        )
    images = keras.Input(image_shape, name="images")
    x = images if scale is None else scale(images)
    # Nested, not rebuilt from its inner tensors: some backbones would then not load.
    x = model(keras.tree.map_structure(lambda _: x, getattr(model, "input", x)))
    (x,) = keras.tree.flatten(x)
    if x.ndim == 3:
        x = layers.GlobalAveragePooling1D(name="pool")(x)
    elif x.ndim == 4:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, x, name=f"{model.name}_encoder")


def check_input(model):
    """The shape of the images a model takes; raises if it takes anything else."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`encoder` must be a keras.Model. A single layer becomes one with "
            "`keras.Sequential([keras.Input(image_shape), layer])`. "
            f"Received: encoder of type {type(model).__name__}"
        )
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise ValueError(
            "`encoder` must know its input and output. Start a Sequential with "
            "`keras.Input(image_shape)`; wrap a subclassed model: "
            "`x = keras.Input(image_shape); keras.Model(x, model(x))`. "
            f"Received: {model.name!r} ({type(model).__name__}), without a symbolic "
            "input"
        )
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise ValueError(
            "`encoder` must have one input, images (batch, height, width, channels). "
            f"Received: inputs of shape {[tuple(x.shape) for x in inputs]}"
        )
    if "int" in keras.backend.standardize_dtype(inputs[0].dtype):
        raise ValueError(
            "`encoder` must take float images: no gradient or scaling passes through "
            "integers. Declare its input without `dtype`; uint8 images are cast. "
            f"Received: an input of dtype {inputs[0].dtype}"
        )
    return inputs[0].shape[1:]


def check_output(model):
    """What a model gives, symbolically; raises unless it can be made vectors."""
    image = keras.KerasTensor(model.inputs[0].shape, model.inputs[0].dtype)
    output = model.compute_output_spec(image)
    tensors = keras.tree.flatten(output)
    if len(tensors) != 1:
        names = output if isinstance(output, dict) else range(len(tensors))
        raise ValueError(
            "`encoder` must have one output. Choose one, "
            "`keras.Model(model.inputs, model.output[...])`. "
            f"Received: outputs {', '.join(map(repr, names))}"
        )
    shape = tuple(tensors[0].shape)
    if len(shape) not in (2, 3, 4) or shape[-1] is None:
        raise ValueError(
            "`encoder` must give vectors (batch, features), tokens (batch, positions, "
            "features) or feature maps (batch, height, width, features) of a known "
            f"number of features. Received: an output of shape {shape}"
        )
    activation = getattr(model.layers[-1], "activation", None)
    if activation is keras.activations.softmax:
        raise ValueError(
            "`encoder` must give representations, not classes. Build it without its "
            "classifier (`include_top=False`). "
            f"Received: {model.name!r}, which ends in a softmax"
        )
    return output


def warn_of_slow_statistics(model):
    """Warns where a short training leaves the running statistics behind."""
    momenta = {
        layer.momentum
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, layers.BatchNormalization)
    }
    if momenta and max(momenta) >= SLOW_MOMENTUM:
        warnings.warn(
            f"The batch normalization of {model.name!r} has momentum "
            f"{max(momenta)}: its running statistics, and so what it gives outside of "
            f"training, lag by some {round(2.3 / (1 - max(momenta)))} steps (23 with "
            "0.9). Set `layer.momentum = 0.9` before a short run.",
            stacklevel=3,
        )
