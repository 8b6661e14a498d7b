"""What a foreign backbone wants its images to be, found from its layers or class."""

import keras
import numpy as np

from keras_vicreg.encoders.images import IMAGENET_MEAN, IMAGENET_STD, normalization


def _to_plus_minus_one(images):
    return keras.layers.Rescaling(1 / 127.5, -1.0, name="normalization")(images)


def _to_minus_one(images):
    return keras.layers.Rescaling(1 / 128, -1.0, name="normalization")(images)


def _to_one(images):
    return keras.layers.Rescaling(1 / 255, name="normalization")(images)


def _to_standard(images):
    return normalization(IMAGENET_MEAN, IMAGENET_STD)(images)


def _to_caffe(images):
    images = keras.ops.flip(images, axis=-1)
    offset = np.array([[[-103.939, -116.779, -123.68]]])
    return keras.layers.Rescaling(1.0, offset, name="normalization")(images)


SCALINGS = {
    _to_plus_minus_one: "-1..1",
    _to_minus_one: "1/128 of 0..255, less 1",
    _to_one: "0..1",
    _to_standard: "0..1 less ImageNet's mean, over ImageNet's std",
    _to_caffe: "BGR less ImageNet's mean",
}

# A layer that tells a family of keras.applications, and what its weights expect. The
# first that matches counts: ResNetV2 has ResNet's layers too.
APPLICATIONS = {
    "post_bn": _to_plus_minus_one,  # ResNetV2
    "conv2_block1_add": _to_caffe,  # ResNet
    "conv2_block1_concat": _to_standard,  # DenseNet
    "block5_pool": _to_caffe,  # VGG
    "block14_sepconv2": _to_plus_minus_one,  # Xception
    "conv_pw_13": _to_plus_minus_one,  # MobileNet
    "expanded_conv_depthwise": _to_plus_minus_one,  # MobileNetV2, MobileNetV3
    "mixed10": _to_plus_minus_one,  # InceptionV3
    "mixed_7a": _to_plus_minus_one,  # InceptionResNetV2
    "reduction_conv_1_stem_1": _to_plus_minus_one,  # NASNet
    "stage_0_block_0_depthwise_conv": _to_standard,  # ConvNeXt
}


def find_scaling(model):
    """The scaling to put in front of `model`, as a function of a symbolic tensor.

    Args:
        model: A functional `keras.Model` of one image input.

    Returns:
        `(function, words)`: maps images in 0..255 to what the model expects, and says
        what that is. `(None, None)` where the model scales its images itself, or is
        of no known family: it is then given 0..255.
    """
    layers = model._flatten_layers(include_self=False)
    if any(
        isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization))
        for layer in layers
    ):
        return None, None
    scaling = _of_package(model) or _of_applications(model)
    return scaling, SCALINGS.get(scaling)


def _of_package(model):
    classes = type(model).__mro__
    packages = {c.__module__.partition(".")[0] for c in classes}
    if "keras_cv" in packages:  # it would hold a Rescaling with include_rescaling=True
        return _to_one
    if "keras_hub" in packages:
        # The presets of its ViT are Google's; those of its other backbones are timm's.
        halves = any(c.__name__ == "ViTBackbone" for c in classes)
        return _to_plus_minus_one if halves else _to_standard
    return None


def _of_applications(model):
    layers = {layer.name: layer for layer in model.layers}
    if "block1a_project_conv" in layers:
        return _of_efficientnet_v2(model, layers)
    for layer, scaling in APPLICATIONS.items():
        if layer in layers or any(name.endswith(f"_{layer}") for name in layers):
            return scaling
    return None


def _of_efficientnet_v2(model, layers):
    """B0 to B3 have the scaling of the first EfficientNet; S, M and L their own.

    The first stage of B0 to B3 has half as many channels as the stem, that of the
    others has as many.
    """
    narrows = layers["block1a_project_conv"].filters < layers["stem_conv"].filters
    of_version_1 = narrows and model.inputs[0].shape[-1] == 3
    return _to_standard if of_version_1 else _to_minus_one
