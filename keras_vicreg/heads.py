"""The multilayer perceptrons behind the encoder: expander, projector, predictor."""

import keras

# PyTorch's defaults, under which the published results were obtained: kernels from
# U(-1/sqrt(fan_in), 1/sqrt(fan_in)), and batch normalization that moves by a tenth.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


def kernel_initializer() -> keras.initializers.Initializer:
    """PyTorch's `Linear` initialization, U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def mlp(
    hidden_units,
    output_units: int,
    *,
    hidden_bias: bool = True,
    output_bias: bool = True,
    batch_norm: bool = True,
    output_norm: bool = False,
    name=None,
):
    """Dense -> BatchNormalization -> ReLU per hidden layer, then a plain Dense.

    Args:
        hidden_units: sequence of ints, the widths of the hidden layers.
        output_units: int, the size of the output.
        hidden_bias: whether the hidden Dense layers have biases, which a batch
            normalization undoes. Defaults to `True`.
        output_bias: whether the last Dense has a bias. Defaults to `True`.
        batch_norm: whether hidden layers are normalized. Defaults to `True`.
        output_norm: whether the output is, without gamma and beta. Defaults to
            `False`.
        name: name of the model.

    Returns:
        A `keras.Sequential`, `(batch, features)` -> `(batch, output_units)`. It is
        built when it first meets its input.
    """

    def dense(units, bias):
        return keras.layers.Dense(
            units, use_bias=bias, kernel_initializer=kernel_initializer()
        )

    layers = []
    for units in hidden_units:
        layers.append(dense(units, hidden_bias))
        if batch_norm:
            layers.append(keras.layers.BatchNormalization(**BATCH_NORM))
        layers.append(keras.layers.ReLU())
    layers.append(dense(output_units, output_bias))
    if output_norm:
        layers.append(
            keras.layers.BatchNormalization(**BATCH_NORM, center=False, scale=False)
        )
    return keras.Sequential(layers, name=name)


def expander(units=(8192, 8192, 8192), batch_norm: bool = True) -> keras.Sequential:
    """The head that maps representations to the embeddings the loss is about.

    Dense (with bias) -> BatchNormalization -> ReLU per hidden layer, the last Dense
    without bias. It is dropped after pretraining: the representations are what is
    kept.

    Args:
        units: sequence of positive ints, the widths of all layers, the last being
            the size of the embeddings. Defaults to `(8192, 8192, 8192)`, the paper's
            for ImageNet; `(2048, 2048, 2048)` is usual for small images.
        batch_norm: whether hidden layers are normalized. Defaults to `True`.

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
    return mlp(
        units[:-1],
        units[-1],
        output_bias=False,
        batch_norm=batch_norm,
        name="expander",
    )
