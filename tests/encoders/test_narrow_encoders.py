"""Encoders of few channels train without an end of the process, which oneDNN can bring.

Each is trained in a process of its own: where memory is written out of bounds, it is
the process that ends.
"""

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
from twins import images, outputs

import keras_vicreg as kv

TRAIN = """
import sys
import keras
import numpy as np
import keras_vicreg as kv
name, size, width, stem = sys.argv[1:]
size, options = int(size), {}
if name.startswith("resnet"):
    options = {"width": float(width), "stem": stem}
encoder = kv.encoder(name, (size, size, 3), **options)
model = keras.Sequential([encoder, keras.layers.Dense(4)])
model.compile("sgd", "mse")
x = np.random.default_rng(0).integers(0, 256, (64, size, size, 3)).astype("uint8")
model.fit(x, np.zeros((64, 4), "float32"), batch_size=16, epochs=2, verbose=0)
"""
ALL = [
    *itertools.product(
        ("resnet18",), (40, 48, 56, 64, 96), (1 / 16, 1 / 8), ("cifar", "imagenet")
    ),
    *itertools.product(("resnet18",), (40, 48, 96, 224), (0.25,), ("imagenet",)),
    *itertools.product(("resnet34",), (48, 96), (1 / 16, 3 / 16), ("cifar",)),
    *itertools.product(("resnet50",), (48, 96), (1 / 16,), ("cifar", "imagenet")),
    *itertools.product(("resnet20",), (48, 96), (0.25, 0.5, 1), ("cifar",)),
    ("vit_tiny", 48, 1, None),
]


def ends(name, size, width, stem):
    """The return code of a process that trains it: negative after a signal."""
    command = [sys.executable, "-c", TRAIN, name, str(size), str(width), str(stem)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr[-2000:] * (done.returncode > 0)


@pytest.mark.parametrize(
    ("name", "size", "width", "stem"),
    [("resnet18", 64, 1 / 16, "cifar"), ("resnet20", 96, 0.5, "cifar")],
)
def test_training_of_few_channels_goes_on(name, size, width, stem):
    assert ends(name, size, width, stem) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "width", "stem"), ALL)
def test_training_of_every_width_and_size_goes_on(name, size, width, stem):
    assert ends(name, size, width, stem) == (0, "")


def strided(encoder):
    """The same network as PyTorch has it: no pick before a strided convolution."""

    def without_pick(layer):
        config = layer.get_config()
        if layer.name.endswith("_downsample_pick"):
            return keras.layers.Identity.from_config({"name": layer.name})
        if f"{layer.name.removesuffix('_0')}_pick" in picks:
            config["strides"] = 2
        return type(layer).from_config(config)

    picks = [la.name for la in encoder.layers if la.name.endswith("_pick")]
    same = keras.models.clone_model(encoder, clone_function=without_pick)
    same.set_weights(encoder.get_weights())
    return same, len(picks)


@pytest.mark.parametrize(
    ("name", "size", "options", "expected"),
    [
        ("resnet18", 33, {"stem": "cifar", "width": 1 / 16}, 2),
        ("resnet20", 32, {"width": 0.5}, 1),
        ("resnet18", 32, {"stem": "cifar", "width": 0.25}, 0),
    ],
)
def test_picked_pixels_are_those_of_the_stride(name, size, options, expected):
    encoder = kv.encoder(name, (size, size, 3), **options)
    same, picks = strided(encoder)
    assert picks == expected
    np.testing.assert_allclose(
        outputs(encoder, images(size)), outputs(same, images(size)), rtol=1e-5
    )
