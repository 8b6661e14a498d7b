"""Files of Keras that name nothing but layers, so that they may come from anywhere.

Keras builds what the configuration in such a file names, and that may be a function of
its own with a harmful argument, a layer that reads files or runs another framework's
code, or an object that the process happens to know. Here a file is loaded only where
all that it names is in the tables below; they are what backbones are made of.
"""

import json
import re
import zipfile

import keras

from keras_vicreg.encoders.named_backbones import read_model
from keras_vicreg.terminal import printable

CONFIGURATION = "config.json"
MAX_SIZE = 1 << 23  # bytes of the configuration, which large backbones have 1 MB of
CLASS = r"[A-Z]\w*"  # no function, and no marker such as __lambda__
LAYERS = (
    *("InputLayer", "Identity", "Rescaling", "Resizing", "CenterCrop", "Masking"),
    *("Reshape", "Permute", "Flatten", "RepeatVector", "Embedding", "Activation"),
    *("Dense", "EinsumDense", "Softmax", r"\w*ReLU", "ELU", r"Gaussian\w+"),
    *("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply"),
    *("Subtract", r"\w*Conv[123]D\w*", r"\w*Convolution[123]D\w*", r"\w*Pool\w*[123]D"),
    *(r"\w*Normalization", r"\w*Dropout\w*", r"\w*Attention", r"Cropping[123]D"),
    *(r"ZeroPadding[123]D", r"UpSampling[123]D", r"Random\w+", "TimeDistributed"),
)
# module -> the classes that may be named of it
CLASSES = {
    "keras": r"Sequential|Functional|Model|\w*DTypePolicy",
    "keras.layers": "|".join(LAYERS),
    "keras.models": "Sequential|Functional|Model",
    "keras.dtype_policies": r"\w*DTypePolicy",
    r"keras\.(initializers|regularizers|constraints)": CLASS,
    r"keras\.src\.models\.(functional|sequential)": "Functional|Sequential",
    r"keras\.src\.ops\.(numpy|nn)": CLASS,
    r"keras\.src\.applications\.\w+": CLASS,
    r"keras_(hub|cv)\.src\.models\.[\w.]+": r"[A-Z]\w*Backbone",
}
VALUES = {"__keras_tensor__", "__numpy__", "__tensor__", "__ellipsis__", "__slice__"}


def read_stock_model(path):
    """The model of a file of Keras, if it names nothing but layers.

    Args:
        path: of a `.keras` file.

    Raises:
        ValueError: if the file is none of Keras, or names anything else. Nothing of
            it is built then.
    """
    if zipfile.is_zipfile(path):  # else `read_model` says what is wrong
        for name in _named(_configuration(path)):
            raise ValueError(
                "The encoder in a folder must be made of layers of Keras: a file of "
                "Keras may name functions to be called. If you trust its origin, name "
                f"the file itself. Received: {printable(path)}, which names "
                f"{printable(name)[:200]}"
            )
    return read_model(path)


def _configuration(path):
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(CONFIGURATION).file_size > MAX_SIZE:
                raise ValueError("its configuration is too large")
            return json.loads(archive.read(CONFIGURATION))
    except (KeyError, OSError, RecursionError, ValueError, RuntimeError) as error:
        reason = printable(error) or type(error).__name__
        raise ValueError(
            "The file must be one that `model.save` wrote, and whole. "
            f"Received: {printable(path)} ({reason})"
        ) from None


def _named(node):
    """What a configuration names that is in no table, level by level."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "class_name" in node and not _is_stock(node):
                yield f"{node.get('module')}.{node['class_name']}"
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _is_stock(node) -> bool:
    """Whether the object that a part of a configuration stands for is a known one."""
    module, name = node.get("module"), node["class_name"]
    if name == "function":
        return _is_activation(node)
    # Keras looks an object up by its registered name first.
    registered = node.get("registered_name")
    if not isinstance(name, str) or registered not in (None, name):
        ours = isinstance(module, str) and module.startswith(
            ("keras_hub.", "keras_cv.")
        )
        if not ours or not str(registered).endswith(f">{name}"):
            return False
    if module is None:
        return name in VALUES
    return any(
        re.fullmatch(package, module) and re.fullmatch(names, name)
        for package, names in CLASSES.items()
    )


def _is_activation(node) -> bool:
    name, module = node.get("config"), node.get("module")
    registered = node.get("registered_name") in (None, "function", name)
    known = isinstance(name, str) and hasattr(keras.activations, name)
    return known and registered and module in ("builtins", "keras.activations")
