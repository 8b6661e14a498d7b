"""Residual networks in the layout of the authors' code and of torchvision.

The layers are Keras's own and the arithmetic is PyTorch's: padding before every
strided window (Keras's `"same"` pads such a window on one side only), the stride in
the 3x3 convolution of a bottleneck, batch normalisation with momentum 0.9 and
epsilon 1e-5. Layers carry the names of the PyTorch modules with `_` for `.`, so
`layer1_0_conv1` holds `layer1.0.conv1.weight`; `layer1` to `layer4` are the feature
maps at strides 4, 8, 16 and 32 (1, 2, 4 and 8 with the CIFAR stem). The networks that
the paper has for CIFAR end with `layer3`.
"""

import keras
from keras import layers

from keras_vicreg.encoders.images import image_input

BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}
NARROW = 16  # channels; of fewer no convolution skips pixels, see `_downsample`
MAX_WIDTH = 4  # of the standard network: SimCLR's widest


def resnet(
    block,
    depths,
    widen=1,
    image_shape=(224, 224, 3),
    stem="imagenet",
    width=1,
    mean=None,
    std=None,
    name=None,
):
    """A residual network: images -> average-pooled representations.

    Args:
        block: `"basic"` (two 3x3 convolutions) or `"bottleneck"` (1x1, 3x3, 1x1).
        depths: The number of blocks in each stage, of which there are four, or three
            in the networks for CIFAR.
        widen: The standard width of this network: 2 doubles all its filters, 1/4
            gives the 16 of the networks for CIFAR.
        image_shape: `(height, width, channels)`; height and width may be `None`.
        stem: `"imagenet"`, a 7x7 convolution and a pooling, stride 4 together, or
            `"cifar"` for small images, a 3x3 convolution of stride 1.
        width: A fraction of the standard width, of 4 to 256 filters in the stem: a
            multiple of 1/64 from 1/16 up; of 1/16 from 1/4 up in a network for CIFAR.
        mean: One number a channel, of images in 0..1. Defaults to ImageNet's.
        std: One number a channel, of images in 0..1. Defaults to ImageNet's.
        name: The name of the model.

    Returns:
        A functional `keras.Model` of stock layers: images `(batch, height, width,
        channels)` in 0..255 -> `(batch, features)`, where features is 512 (basic),
        2048 (bottleneck) or 64 (for CIFAR) times the width.

    Raises:
        ValueError: If an option is out of its range.

    Reference:
        - [He et al., 2016](https://arxiv.org/abs/1512.03385)
        - [Goyal et al., 2017](https://arxiv.org/abs/1706.02677): zero-initialised
          last gamma
    """
    if stem not in ("imagenet", "cifar"):
        raise ValueError(
            f'`stem` must be "imagenet" or "cifar". Received: stem={stem!r}'
        )
    filters = _stem_filters(width, widen)
    add_block = {"basic": _basic, "bottleneck": _bottleneck}[block]
    expansion = 4 if block == "bottleneck" else 1

    images, x = image_input(image_shape, mean, std)
    x = _stem(x, filters, stem)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            prefix = f"layer{stage + 1}_{i}"
            stride = 2 if stage > 0 and i == 0 else 1
            shortcut = x
            if stride == 2 or x.shape[-1] != filters * expansion:
                shortcut = _downsample(x, filters * expansion, stride, prefix)
            x = add_block(x, filters, stride, prefix)
            x = layers.Add(name=f"{prefix}_add")([x, shortcut])
            last = i == depth - 1
            x = layers.ReLU(name=f"layer{stage + 1}" if last else f"{prefix}_relu")(x)
        filters *= 2
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="avgpool")(x)
    return keras.Model(images, x, name=name)


def _stem_filters(width, widen):
    """The filters of the stem and of the first stage."""
    unit = min(64, int(64 * widen))  # what divides the standard width
    least, most = 4 / unit, MAX_WIDTH / widen
    if (
        type(width) not in (int, float)
        or not least <= width <= most
        or unit * width % 1
    ):
        raise ValueError(
            f"`width` must be a multiple of 1/{unit} between 1/{unit // 4} and "
            f"{most:g}. Received: width={width!r}"
        )
    return int(64 * width * widen)


def _stem(x, filters, stem):
    kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
    x = _conv_bn(x, filters, kernel, stride, "conv1", "bn1")
    x = layers.ReLU(name="relu")(x)
    if stem == "imagenet":
        # Zeros for PyTorch's -inf: the same after a ReLU.
        x = _pad(x, 1, "maxpool_pad")
        x = layers.MaxPooling2D(3, 2, data_format="channels_last", name="maxpool")(x)
    return x


def _basic(x, filters, stride, prefix):
    x = _conv_bn(x, filters, 3, stride, f"{prefix}_conv1", f"{prefix}_bn1")
    x = layers.ReLU(name=f"{prefix}_relu1")(x)
    return _conv_bn(x, filters, 3, 1, f"{prefix}_conv2", f"{prefix}_bn2", "zeros")


def _bottleneck(x, filters, stride, prefix):
    x = _conv_bn(x, filters, 1, 1, f"{prefix}_conv1", f"{prefix}_bn1")
    x = layers.ReLU(name=f"{prefix}_relu1")(x)
    x = _conv_bn(x, filters, 3, stride, f"{prefix}_conv2", f"{prefix}_bn2")
    x = layers.ReLU(name=f"{prefix}_relu2")(x)
    return _conv_bn(x, 4 * filters, 1, 1, f"{prefix}_conv3", f"{prefix}_bn3", "zeros")


def _downsample(x, filters, stride, prefix):
    """A shortcut to other filters or a smaller feature map."""
    if stride > 1 and x.shape[-1] < NARROW:
        # The kernel gradient of a strided 1x1 convolution of fewer than 16 channels
        # writes out of bounds in oneDNN, which TensorFlow runs on a CPU: the process
        # crashes. The pixels that such a convolution reads are picked before it.
        name = f"{prefix}_downsample_pick"
        pick = layers.AveragePooling2D(
            1, stride, data_format="channels_last", name=name
        )
        x, stride = pick(x), 1
    names = (f"{prefix}_downsample_0", f"{prefix}_downsample_1")
    return _conv_bn(x, filters, 1, stride, *names)


def _conv_bn(x, filters, kernel, stride, conv_name, bn_name, gamma="ones"):
    """A convolution without bias, padded by half its kernel, and its batch norm."""
    if stride > 1 and kernel > 1:
        x = _pad(x, kernel // 2, f"{conv_name}_pad")
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        # At stride 1 "same" is symmetric and saves the padding a pass.
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        data_format="channels_last",
        name=conv_name,
    )(x)
    return layers.BatchNormalization(
        gamma_initializer=gamma, name=bn_name, **BATCH_NORM
    )(x)


def _pad(x, pixels, name):
    return layers.ZeroPadding2D(pixels, data_format="channels_last", name=name)(x)
