"""From a manifest to a model: nothing a preset brings is run, or trusted.

The manifest names an encoder of ours and options that are checked. The model is built
without memory, so that the parameters it would have, the size, the hash and every
name and shape in the weights are compared before it is given any.
"""

import math

import keras

from keras_vicreg import encoders
from keras_vicreg.encoders.deferred_variables import deferred_variables, start_with
from keras_vicreg.presets import head_layout, tensor_file
from keras_vicreg.presets.errors import InvalidPresetError, PresetNotFoundError
from keras_vicreg.presets.manifest import Manifest


def build(manifest: Manifest, read, model_class=None, options: dict | None = None):
    """Builds and fills the model of a preset.

    Args:
        manifest: of the preset.
        read: function of a file name of the manifest that gives its checked content.
            It is called once the model is known to be of that size.
        model_class: `None` for the encoder, or the class of a pretraining model.
        options: further arguments of `model_class`.

    Returns:
        An encoder, or a `model_class`.

    Raises:
        kv.PresetError: if anything is not as it must be; nothing is left then.
    """
    if model_class is not None and manifest.expander is None:
        raise PresetNotFoundError(
            "The preset holds an encoder without its expander: load it with "
            "`kv.from_preset` and give it to the model with a new expander."
        )
    with deferred_variables():
        encoder = _described(
            encoders.encoder, manifest.encoder["name"], **manifest.encoder["options"]
        )
        expected = preprocessing_of(encoder, manifest.encoder["options"])
        if manifest.preprocessing != expected:
            raise InvalidPresetError(
                f"The manifest and its model disagree: {encoder.name} has "
                f"{expected}, not {manifest.preprocessing}."
            )
        values = _weights(manifest, read, encoder, manifest.weights)
        if model_class is not None:
            expander = _described(
                head_layout.head_from,
                manifest.expander["layers"],
                encoder.output_shape[-1],
            )
            values += _weights(manifest, read, expander, manifest.expander)
        for variable, value in values:
            start_with(variable, value)
    if model_class is None:
        return encoder
    return model_class(encoder, expander=expander, **(options or {}))


def _described(build, *args, **options):
    """What a builder makes of arguments from a manifest."""
    try:
        return build(*args, **options)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidPresetError(
            f"The preset describes no model that this version knows: {error} "
            "If it was made by a newer one, `pip install -U keras-vicreg`."
        ) from None


def _weights(manifest: Manifest, read, model, weights: dict) -> list:
    """Pairs of a variable of `model` and its checked value."""
    name, dtype = weights["file"], weights["dtype"]
    variables = weight_names(model)
    shapes = {key: tuple(variable.shape) for key, variable in variables.items()}
    parameters = sum(math.prod(shape) for shape in shapes.values())
    size = tensor_file.body_size(shapes, dtype)
    header = manifest.files[name]["size"] - size
    if weights["parameters"] != parameters or not 0 < header < tensor_file.MAX_HEADER:
        raise InvalidPresetError(
            f"The manifest and its model disagree: {model.name} has {parameters} "
            f"parameters, {size} bytes, and the manifest says "
            f"{weights['parameters']:.6g} in a file of "
            f"{manifest.files[name]['size']:.6g} bytes."
        )
    try:
        values = tensor_file.read(read(name), shapes, dtype)
    except ValueError as error:
        raise InvalidPresetError(f"{name} is not acceptable: {error}.") from None
    return [(variables[key], value) for key, value in values.items()]


def preprocessing_of(encoder, options: dict) -> dict:
    """What an encoder expects of images, and the size of its representations.

    Args:
        encoder: the model.
        options: all options it was built with.
    """
    return {
        "image_shape": options.get("image_shape"),
        "range": [0, 255],
        "mean": options.get("mean"),
        "std": options.get("std"),
        "features": encoder.output_shape[-1],
    }


def weight_names(model) -> dict:
    """Name in the weights file, "layer/variable" -> variable, in the model's order.

    The layers of an encoder have names of their own; those of a head, which Keras
    numbers through the whole session, go by their position.
    """
    by_position = isinstance(model, keras.Sequential)
    names = {}
    for position, layer in enumerate(model.layers):
        for variable in layer.weights:
            path = variable.path.split("/")
            inside = path[path.index(layer.name) + 1 :]
            name = str(position) if by_position else layer.name
            names["/".join([name, *inside])] = variable
    return names
