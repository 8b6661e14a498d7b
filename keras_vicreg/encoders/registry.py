"""The encoders there are, by name."""

import functools
import inspect

from keras_vicreg.encoders.resnet import resnet
from keras_vicreg.encoders.vit import vit

# name -> builder; the positional arguments are the layout, what is left are options
ENCODERS = (
    {
        name: functools.partial(resnet, block, depths, widen)
        for name, block, depths, widen in (
            ("resnet18", "basic", (2, 2, 2, 2), 1),
            ("resnet34", "basic", (3, 4, 6, 3), 1),
            ("resnet50", "bottleneck", (3, 4, 6, 3), 1),
            ("resnet101", "bottleneck", (3, 4, 23, 3), 1),
            ("resnet50x2", "bottleneck", (3, 4, 6, 3), 2),
            ("resnet200x2", "bottleneck", (3, 24, 36, 3), 2),
        )
    }
    | {
        f"resnet{6 * n + 2}": functools.partial(
            *(resnet, "basic", (n, n, n), 1 / 4), stem="cifar"
        )
        for n in (3, 5, 7, 9)
    }
    | {
        "vit_tiny": functools.partial(vit, 192, 12, 3),
        "vit_small": functools.partial(vit, 384, 12, 6),
        "vit_base": functools.partial(vit, 768, 12, 12),
    }
)


def encoder(name, image_shape=(224, 224, 3), **options):
    """Builds an encoder with random weights.

    It is a functional model of stock Keras layers, so what `save` writes loads in
    plain Keras, on any backend, without this package. It takes raw images and
    normalises them itself.

    Args:
        name: One of `keras_vicreg.ENCODERS`.
        image_shape: `(height, width, channels)`. A ResNet takes `None` for a height
            and width that vary; those of a ViT are multiples of its patch size.
        **options: The options of the network. ResNets take `stem` (`"imagenet"`, or
            `"cifar"` for small images, which `resnet20`, `32`, `44` and `56`, the
            paper's networks of three stages, have by default) and `width` (1, or a
            fraction or multiple of it); ViTs take `patch_size` (16 pixels; 4 for
            small images); all take `mean` and `std`, a number a channel of images in
            0..1 (ImageNet's).

    Returns:
        A `keras.Model`: images `(batch, height, width, channels)` in 0..255 ->
        representations `(batch, features)`.

    Raises:
        ValueError: If the name or an option is unknown or out of its range.

    Example:

    ```python
    encoder = kv.encoder("resnet18", (32, 32, 3), stem="cifar")
    representations = encoder(images)  # (batch, 512)
    ```
    """
    if not isinstance(name, str) or name not in ENCODERS:
        raise ValueError(
            f"`name` must be one of {', '.join(ENCODERS)}. Received: name={name!r}"
        )
    build = ENCODERS[name]
    known = option_names(build)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"The options of {name!r} must be among {', '.join(known)}. "
            f"Received: {', '.join(unknown)}"
        )
    return build(image_shape=image_shape, name=name, **options)


def option_names(build):
    """The names of the options a builder leaves to its caller."""
    parameters = inspect.signature(build).parameters
    return [p for p in parameters if p not in ("image_shape", "name")]


def find_resnet(block, depths, filters):
    """The name and width of the ResNet of a layout.

    Args:
        block: `"basic"` or `"bottleneck"`.
        depths: The number of blocks in each stage, a tuple.
        filters: The filters of the stem.

    Returns:
        `(name, width)`; the network in which the width is 1, where there is one.

    Raises:
        KeyError: If no encoder has such blocks.
    """
    widths = {
        name: filters / (64 * build.args[2])
        for name, build in ENCODERS.items()
        if build.func is resnet and build.args[:2] == (block, depths)
    }
    if not widths:
        raise KeyError((block, depths))
    name = min(widths, key=lambda name: widths[name] != 1)
    width = widths[name]
    return name, int(width) if width % 1 == 0 else width
