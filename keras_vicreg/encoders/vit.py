"""Vision transformers of the standard sizes.

Pre-norm blocks, exact GELU, layer normalisation with epsilon 1e-6, as the ViTs of
Dosovitskiy et al. and timm have them. The representation is the mean of the patch
tokens after the last normalisation: no class token, since a mean does as well with
less (Chen et al., section 4.3; Beyer et al.), and every part is a stock Keras layer.

The position embedding is the bias of the patch projection, one vector a patch: one
`EinsumDense` holds both. `feature_map` is the layer of the patch tokens in place,
`(batch, height / patch, width / patch, features)`.
"""

import keras
from keras import layers

from keras_vicreg.encoders.images import image_input

MAX_PATCHES = 16384


def vit(
    features,
    depth,
    heads,
    image_shape=(224, 224, 3),
    patch_size=16,
    mean=None,
    std=None,
    name=None,
):
    """A vision transformer: images -> mean patch representations.

    Args:
        features: The size of a token.
        depth: The number of blocks.
        heads: The number of attention heads.
        image_shape: `(height, width, channels)`, sides in multiples of `patch_size`.
        patch_size: The side of a patch in pixels. Defaults to 16; 4 for images of 32
            pixels.
        mean: One number a channel, of images in 0..1. Defaults to ImageNet's.
        std: One number a channel, of images in 0..1. Defaults to ImageNet's.
        name: The name of the model.

    Returns:
        A functional `keras.Model` of stock layers: images `(batch, height, width,
        channels)` in 0..255 -> `(batch, features)`.

    Raises:
        ValueError: If an option is out of its range.

    Reference:
        - [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929)
        - [Chen et al., 2021](https://arxiv.org/abs/2104.02057): without class token
        - [Beyer et al., 2022](https://arxiv.org/abs/2205.01580): mean pooling
    """
    images, x = image_input(image_shape, mean, std)
    rows, columns = _grid(x.shape[1:3], patch_size)
    x = layers.Reshape(
        (rows, patch_size, columns, patch_size, x.shape[-1]), name="patches"
    )(x)
    x = layers.EinsumDense(
        "bhiwjc,ijcd->bhwd",
        output_shape=(rows, columns, features),
        bias_axes="hwd",
        kernel_initializer=keras.initializers.VarianceScaling(
            1 / 3, "fan_in", "uniform"
        ),
        bias_initializer=_normal(),
        name="patch_embed",
    )(x)
    x = layers.Reshape((rows * columns, features), name="tokens")(x)
    for i in range(depth):
        x = _block(x, heads, f"blocks_{i}")
    x = _norm("norm")(x)
    x = layers.Reshape((rows, columns, features), name="feature_map")(x)
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="avgpool")(x)
    return keras.Model(images, x, name=name)


def _grid(sides, patch_size):
    """The number of patches, downwards and across."""
    if type(patch_size) is not int or not 1 <= patch_size <= 64:
        raise ValueError(
            "`patch_size` must be an integer between 1 and 64. "
            f"Received: patch_size={patch_size!r}"
        )
    if None in sides or any(side % patch_size for side in sides):
        raise ValueError(
            "The height and width of `image_shape` must be multiples of the patch "
            f"size, {patch_size}. Received: height and width {tuple(sides)}"
        )
    rows, columns = (side // patch_size for side in sides)
    if rows * columns > MAX_PATCHES:
        raise ValueError(
            f"`image_shape` must give {MAX_PATCHES} patches at most. Received: "
            f"{rows} x {columns}"
        )
    return rows, columns


def _block(x, heads, prefix):
    """A pre-norm transformer block: attention, then a perceptron four times as wide."""
    features = x.shape[-1]
    y = _norm(f"{prefix}_norm1")(x)
    y = layers.MultiHeadAttention(
        heads,
        features // heads,
        kernel_initializer=_normal(),
        name=f"{prefix}_attn",
    )(y, y)
    x = layers.Add(name=f"{prefix}_add1")([x, y])
    y = _norm(f"{prefix}_norm2")(x)
    y = layers.Dense(
        4 * features, kernel_initializer=_normal(), name=f"{prefix}_mlp_fc1"
    )(y)
    # Keras's own "gelu" activation, which is the exact one.
    y = layers.Activation("gelu", name=f"{prefix}_mlp_gelu")(y)
    y = layers.Dense(features, kernel_initializer=_normal(), name=f"{prefix}_mlp_fc2")(
        y
    )
    return layers.Add(name=f"{prefix}_add2")([x, y])


def _norm(name):
    return layers.LayerNormalization(epsilon=1e-6, name=name)


def _normal():
    return keras.initializers.TruncatedNormal(stddev=0.02)
