"""The multilayer perceptrons behind the encoder: expander, projector, predictor."""

import keras

# PyTorch's defaults, under which the published results were obtained: kernels from
# U(-1/sqrt(fan_in), 1/sqrt(fan_in)), and batch normalization that moves by a tenth.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


def kernel_initializer() -> keras.initializers.Initializer:
    """PyTorch's `Linear` initialization, U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def mlp(hidden_units, output_units: int, *, output_bias: bool = True, name=None):
    """Dense -> BatchNormalization -> ReLU per hidden layer, then a plain Dense.

    Args:
        hidden_units: sequence of ints, the widths of the hidden layers.
        output_units: int, the size of the output.
        output_bias: whether the last Dense has a bias. Defaults to `True`.
        name: name of the model.

    Returns:
        A `keras.Sequential`, `(batch, features)` -> `(batch, output_units)`. It is
        built when it first meets its input.
    """
    layers = []
    for units in hidden_units:
        layers += [
            keras.layers.Dense(units, kernel_initializer=kernel_initializer()),
            keras.layers.BatchNormalization(**BATCH_NORM),
            keras.layers.ReLU(),
        ]
    layers.append(
        keras.layers.Dense(
            output_units,
            use_bias=output_bias,
            kernel_initializer=kernel_initializer(),
        )
    )
    return keras.Sequential(layers, name=name)


def expander(units=(8192, 8192, 8192)) -> keras.Sequential:
    """The head that maps representations to the embeddings the loss is about.

    Dense (with bias) -> BatchNormalization -> ReLU per hidden layer, the last Dense
    without bias. It is dropped after pretraining: the representations are what is
    kept.

    Args:
        units: sequence of positive ints, the widths of all layers, the last being
            the size of the embeddings. Defaults to `(8192, 8192, 8192)`, the paper's
            for ImageNet; `(2048, 2048, 2048)` is usual for small images.

    Returns:
        A `keras.Sequential`, `(batch, features)` -> `(batch, units[-1])`.

    Raises:
        ValueError: if `units` is not a non-empty sequence of positive ints.

    Example:

    >>> expander = kv.expander((64, 64, 128))
    >>> expander(np.zeros((4, 512), "float32")).shape
    (4, 128)

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, section 4.2.
    """
    valid = isinstance(units, (list, tuple)) and len(units) > 0
    if not valid or any(type(u) is not int or u < 1 for u in units):
        raise ValueError(
            "`units` must be a non-empty sequence of positive integers. "
            f"Received: units={units!r}"
        )
    return mlp(units[:-1], units[-1], output_bias=False, name="expander")
