"""Backbones by name: of keras.applications, of a file, of a function of one's own."""

import importlib
import inspect
import pathlib
import sys
import zipfile

import keras

from keras_vicreg.encoders.backbones import check_input, check_output
from keras_vicreg.terminal import printable


def load_backbone(spec: str, image_shape=(224, 224, 3)):
    """A backbone from a description in words, as the command line takes it.

    Args:
        spec: One of `"applications:NAME"`, a constructor of keras.applications,
            called without classifier and without weights; `"FILE.keras"`, a saved
            model; `"package.module:function"`, a function that returns a model, of a
            module on the path or in the working folder.
        image_shape: `(height, width, channels)`; given to the constructor, and to
            the function where it has a parameter `image_shape`.

    Returns:
        A `keras.Model` that takes such images, for `as_encoder` and `kv.VICReg`.

    Raises:
        ValueError: If there is no such thing, or it is no backbone for such images.

    Example:

    ```python
    backbone = load_backbone("applications:MobileNetV3Small", (64, 64, 3))
    ```
    """
    image_shape = tuple(image_shape)
    if spec.endswith(".keras"):
        model = read_model(spec)
    else:
        module, name = _parse(spec)
        if module == "applications":
            build, options = _application(name), {"include_top": False, "weights": None}
            model = build(**options, input_shape=image_shape)
        else:
            model = _call(_import(module, name), spec, image_shape)
    takes = check_input(model)
    check_output(model)
    if any(a not in (None, b) for a, b in zip(takes, image_shape)):
        raise ValueError(
            "The backbone must take the images there are, of shape "
            f"{image_shape}. Received: {spec}, which takes {tuple(takes)}"
        )
    return model


def find_source(spec: str):
    """The file a backbone comes from, whose hash tells whether it is the same.

    Args:
        spec: As `load_backbone` takes it.

    Returns:
        The path of `FILE.keras`, or of the module; `None` for what comes with Keras
        or with this package.
    """
    if spec.endswith(".keras"):
        return pathlib.Path(spec)
    module, colon, _ = spec.partition(":")
    if not colon or module == "applications":
        return None
    file = getattr(sys.modules.get(module), "__file__", None)
    return pathlib.Path(file) if file else None


def read_model(path):
    """The model of a file; Keras refuses what would run code."""
    if not pathlib.Path(path).exists():
        raise ValueError(f"The file must exist. Received: {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"The file must be one that `model.save` wrote, and whole. Received: {path}"
        )
    try:
        return keras.saving.load_model(path, compile=False)
    except (KeyError, OSError, TypeError, ValueError) as error:
        # Keras's reason stands between its advice and the whole configuration.
        reason = str(error).rpartition("Exception encountered: ")[2]
        reason = reason.partition(" Full object config")[0]
        raise ValueError(
            "The file must hold a Keras model of known classes. One with classes of "
            "one's own is built by a function, package.module:function. "
            f"Received: {path} ({printable(reason)})"
        ) from error


def _parse(spec):
    module, _, name = spec.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError(
            "A backbone must be named as applications:NAME, FILE.keras or "
            f"package.module:function. Received: {spec!r}"
        )
    return module, name


def _application(name):
    build = getattr(keras.applications, name, None)
    if not inspect.isfunction(build):
        known = inspect.getmembers(keras.applications, inspect.isfunction)
        raise ValueError(
            "The application must be one of "
            f"{', '.join(name for name, _ in known)}. Received: {name!r}"
        )
    return build


def _import(module, name):
    """The function `name` of `module`, which may lie in the working folder."""
    sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # what it imports itself is missing
        raise ValueError(
            f"The module must be importable. Received: {module!r} ({error})"
        ) from error
    finally:
        sys.path.remove("")
    if not callable(function):
        raise ValueError(
            f"The module {module!r} must hold a function {name!r} that returns a "
            "keras.Model. Received: none of that name"
        )
    return function


def _call(function, spec, image_shape):
    """What a function of somebody else's returns."""
    try:
        parameters = inspect.signature(function).parameters
        options = {"image_shape": image_shape} if "image_shape" in parameters else {}
        inspect.signature(function).bind(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The function must be one that can be called with `image_shape` alone, or "
            f"without arguments. Received: {spec} ({error})"
        ) from error
    return function(**options)
