"""Backbones by name: what the command line takes as `--encoder`."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_vicreg.encoders import as_encoder, load_backbone
from keras_vicreg.encoders.named_backbones import find_source

SHAPE = (32, 32, 3)
EMPTY_ARCHIVE = b"PK\x05\x06" + bytes(18)
MODULE = """
import keras

def fixed():
    image = keras.Input((8, 8, 3))
    return keras.Sequential([image, keras.layers.Flatten()])

def any_size(image_shape, depth=2):
    x = keras.Input(image_shape)
    return keras.Model(x, keras.layers.Conv2D(depth, 3)(x))

def of_width(width):
    return any_size((8, 8, width))

class Unregistered(keras.layers.Layer):
    def call(self, x):
        return x * 2

def with_a_layer_of_its_own():
    x = keras.Input((32, 32, 3))
    return keras.Model(x, Unregistered()(x))

def nothing():
    pass

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working folder, forgotten afterwards."""
    (tmp_path / "my_backbones.py").write_text(MODULE)
    (tmp_path / "needs_more.py").write_text("import no_such_dependency")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("my_backbones", None)


def saved(path, outputs):
    x = keras.Input(SHAPE)
    keras.Model(x, outputs(x)).save(path)
    return str(path)


@pytest.mark.filterwarnings("ignore:.*momentum")
def test_of_keras_applications():
    loaded = load_backbone("applications:MobileNetV3Small", SHAPE)
    assert loaded.input_shape == (None, *SHAPE)
    assert as_encoder(loaded).output_shape == (None, 576)


def test_of_a_file(tmp_path):
    x = keras.Input(SHAPE)
    maps = keras.Model(x, keras.layers.Conv2D(5, 3)(x))
    maps.save(tmp_path / "mine.keras")
    loaded = load_backbone(str(tmp_path / "mine.keras"), SHAPE)
    for value, stored in zip(loaded.get_weights(), maps.get_weights(), strict=True):
        np.testing.assert_array_equal(value, stored)


def test_of_a_function(module):
    path = list(sys.path)
    assert load_backbone("my_backbones:fixed", (8, 8, 3)).output_shape == (None, 192)
    loaded = load_backbone("my_backbones:any_size", [16, 24, 3])
    assert loaded.input_shape == (None, 16, 24, 3)
    assert sys.path == path


def test_the_source_is_what_can_change(module):
    load_backbone("my_backbones:fixed", (8, 8, 3))
    assert find_source("my_backbones:fixed").read_text() == MODULE
    assert find_source("mine.keras") == Path("mine.keras")
    for spec in ("resnet18", "applications:MobileNetV3Small"):
        assert find_source(spec) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet50", "applications:NAME, FILE.keras or package.module:function"),
        *(
            (spec, "applications:NAME")
            for spec in (":f", "os:", "", "./os.py:f", "a:b:c")
        ),
        ("applications:ResNet51", "must be one of .*ResNet50, "),
        ("applications:resnet", "must be one of"),
        ("applications:InceptionV3", "at least 75x75"),
        ("none.keras", "The file must exist"),
        ("no_such_package.module:f", "must be importable"),
        ("my_backbones.inside:f", "must be importable"),
        ("os:no_such_function", "must hold a function 'no_such_function'"),
        ("os:name", "must hold a function"),
        ("os:getpid", "must be a keras.Model"),
        ("my_backbones:number", "must hold a function"),
        ("my_backbones:nothing", "must be a keras.Model"),
        ("my_backbones:of_width", "`image_shape` alone, or without .*'width'"),
        ("keras:Model", "must know its input"),
        ("my_backbones:fixed", r"take the images there are, of shape \(32, 32, 3\)"),
    ],
)
def test_bad_names_are_refused(spec, message, module):
    with pytest.raises(ValueError, match=message):
        load_backbone(spec, SHAPE)


def test_what_a_module_of_ones_own_lacks_is_named(module):
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        load_backbone("needs_more:f", SHAPE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "`model.save` wrote, and whole"),
        (b"PK\x03\x04 and nothing after it", "`model.save` wrote, and whole"),
        (EMPTY_ARCHIVE, "must hold a Keras model"),
    ],
)
def test_files_that_are_none_are_refused(content, message, tmp_path):
    (tmp_path / "bad.keras").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_backbone(str(tmp_path / "bad.keras"), SHAPE)


def test_files_of_other_models_are_refused(module, tmp_path):
    load_backbone("my_backbones:with_a_layer_of_its_own", SHAPE).save("own.keras")
    with pytest.raises(ValueError, match=r"known classes.*'Unregistered'"):
        load_backbone("own.keras", SHAPE)
    half = Path(saved("whole.keras", keras.layers.Conv2D(5, 3))).read_bytes()
    Path("cut.keras").write_bytes(half[: len(half) // 2])
    with pytest.raises(ValueError, match="wrote, and whole"):
        load_backbone("cut.keras", SHAPE)
    classes = keras.layers.Dense(3, activation="softmax")
    saved("classes.keras", lambda x: classes(keras.layers.Flatten()(x)))
    with pytest.raises(ValueError, match="representations, not classes"):
        load_backbone("classes.keras", SHAPE)
    # Code in a file is not run.
    saved("lambda.keras", keras.layers.Lambda(lambda x: x * 2))
    with pytest.raises(ValueError, match="arbitrary code execution"):
        load_backbone("lambda.keras", SHAPE)
