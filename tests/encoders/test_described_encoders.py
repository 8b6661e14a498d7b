"""Encoders are known by their layers: the name and options that rebuild them."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from twins import images, outputs

import keras_vicreg as kv
from keras_vicreg.encoders import describe_encoder
from keras_vicreg.encoders.deferred_variables import deferred_variables
from keras_vicreg.encoders.resnet import resnet


@pytest.mark.parametrize(
    ("name", "image_shape", "options"),
    [
        ("resnet18", (32, 32, 3), {"stem": "cifar", "width": 0.25}),
        (
            "resnet50",
            (None, None, 3),
            {"width": 0.25, "mean": [0, 0.5, 0.25], "std": [1, 0.3, 1 / 3]},
        ),
        pytest.param(
            "resnet101", (64, 64, 3), {"width": 0.125}, marks=pytest.mark.slow
        ),
        ("resnet50x2", (64, 64, 1), {"width": 0.125, "mean": [0.5], "std": [0.2]}),
        ("vit_tiny", (32, 48, 3), {"patch_size": 16}),
    ],
)
def test_description_rebuilds_the_encoder(name, image_shape, options, tmp_path):
    model = kv.encoder(name, image_shape, **options)
    described, complete = describe_encoder(model)
    assert json.loads(json.dumps(complete)) == complete
    copy = kv.encoder(described, **complete)
    assert describe_encoder(copy) == (described, complete)
    if name != "resnet50x2":  # a quarter of resnet50 as well
        assert described == name
        assert options.items() <= complete.items() or "std" in options
    if None not in image_shape:
        copy.set_weights(model.get_weights())
        x = images(64, channels=image_shape[-1])[:, : image_shape[0], : image_shape[1]]
        np.testing.assert_array_equal(outputs(copy, x), outputs(model, x))
    model.save(tmp_path / "renamed.keras")
    assert describe_encoder(keras.saving.load_model(tmp_path / "renamed.keras")) == (
        described,
        complete,
    )


@pytest.mark.parametrize("name", kv.ENCODERS)
def test_every_encoder_is_described(name):
    with deferred_variables(keep=False):
        model = kv.encoder(name)
        assert describe_encoder(model)[0] == name


def test_a_narrow_encoder_of_an_earlier_version_is_described():
    """It has a strided convolution where there is a pick of pixels now."""
    assert kv.VICReg  # which the file names
    file = Path(__file__).parents[1] / "saved" / "model.keras"
    model = keras.saving.load_model(file).encoder
    name, options = describe_encoder(model)
    assert (name, options["width"]) == ("resnet18", 1 / 16)
    copy = kv.encoder(name, **options)
    copy.set_weights(model.get_weights())
    x = images(32)
    np.testing.assert_allclose(outputs(copy, x), outputs(model, x), rtol=1e-5)


def altered(change, width=0.25):
    """A function that makes an encoder and changes something in it."""

    def make():
        model = kv.encoder("resnet18", (32, 32, 3), width=width)
        change(model)
        return model

    return make


def pick(model):
    return model.get_layer("layer2_0_downsample_pick")


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()]),
        altered(lambda m: setattr(m.get_layer("layer1_0_bn1"), "epsilon", 1e-3)),
        altered(lambda m: setattr(m.get_layer("layer2_0_conv1"), "strides", (1, 1))),
        altered(
            lambda m: setattr(m.get_layer("normalization"), "scale", [[[9, 9, 9]]])
        ),
        altered(lambda m: setattr(pick(m), "pool_size", (2, 2)), width=1 / 16),
        altered(lambda m: setattr(pick(m), "strides", (3, 3)), width=1 / 16),
        lambda: resnet("basic", (1, 1, 1, 1), 1, (32, 32, 3)),
    ],
)
def test_other_models_are_not_described(make):
    with pytest.raises(ValueError, match=r"made by `kv\.encoder`"):
        describe_encoder(make())
