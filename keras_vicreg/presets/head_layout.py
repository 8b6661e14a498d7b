"""A head as plain data: the layers of an expander, and the head they describe."""

import keras

from keras_vicreg import heads

MAX_LAYERS = 32
MAX_UNITS = 1 << 17
# layer -> its options and their defaults
OPTIONS = {
    "dense": {"units": None, "use_bias": True},
    "batch_normalization": {"center": True, "scale": True},
    "relu": {},
}
# what all layers of the heads of this package have in common
FIXED = ("activation", "momentum", "epsilon", "negative_slope", "max_value")
CLASSES = {
    keras.layers.Dense: "dense",
    keras.layers.BatchNormalization: "batch_normalization",
    keras.layers.ReLU: "relu",
}


def layout_of(head) -> list:
    """The layers of a head, such as `[{"layer": "dense", "units": 64, ...}, ...]`.

    Args:
        head: a `keras.Sequential` of Dense, BatchNormalization and ReLU layers.

    Raises:
        ValueError: if it is anything else.
    """
    kinds = [CLASSES.get(type(layer)) for layer in getattr(head, "layers", [])]
    if not isinstance(head, keras.Sequential) or None in kinds:
        raise ValueError(
            "The expander of a preset must be a `keras.Sequential` of Dense, "
            f"BatchNormalization and ReLU layers. Received: {head!r}"
        )
    layout = [
        {"layer": kind, **{option: getattr(layer, option) for option in OPTIONS[kind]}}
        for kind, layer in zip(kinds, head.layers)
    ]
    for entry, layer in zip(layout, head.layers):
        config, rebuilt = layer.get_config(), _layer(entry).get_config()
        for name in FIXED:
            if config.get(name) != rebuilt.get(name):
                raise ValueError(
                    f"`{name}` of the layers of a preset's expander must be "
                    f"{rebuilt[name]!r}. Received: {name}={config[name]!r}"
                )
    return layout


def head_from(layout: list, features: int):
    """Builds the head of a layout that may come from a stranger.

    Args:
        layout: what `layout_of` gave.
        features: int, size of the representations the head takes.

    Returns:
        A built `keras.Sequential`.

    Raises:
        ValueError: if the layout is not one.
    """
    if not isinstance(layout, list) or not 1 <= len(layout) <= MAX_LAYERS:
        raise ValueError(f"a head must be a list of 1 to {MAX_LAYERS} layers")
    head = keras.Sequential([_layer(entry) for entry in layout], name="expander")
    head.build((None, features))
    return head


def _layer(entry: dict):
    kind = entry.get("layer") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in OPTIONS:
        raise ValueError(f"the layers of a head must be among {list(OPTIONS)}")
    options = {name: entry[name] for name in entry if name != "layer"}
    if options.keys() != OPTIONS[kind].keys():
        raise ValueError(f"the options of a {kind} layer must be {list(OPTIONS[kind])}")
    for name, value in options.items():
        if name == "units":
            sane = type(value) is int and 1 <= value <= MAX_UNITS
        else:
            sane = type(value) is bool
        if not sane:
            raise ValueError(f"`{name}` of a {kind} layer cannot be {value!r:.100}")
    if kind == "dense":
        initializer = heads.kernel_initializer()
        return keras.layers.Dense(**options, kernel_initializer=initializer)
    if kind == "batch_normalization":
        return keras.layers.BatchNormalization(**options, **heads.BATCH_NORM)
    return keras.layers.ReLU()
