"""A file of Keras in a folder is loaded only if it names nothing but layers."""

import json
import zipfile

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg.encoders.stock_models import MAX_SIZE, read_stock_model
from keras_vicreg.runs.encoder_files import load_encoder

FUNCTION = {
    "module": "keras.utils",
    "class_name": "function",
    "config": "set_random_seed",
    "registered_name": "set_random_seed",
}
NAMED = {
    "a function": FUNCTION,
    "a function of another library": {**FUNCTION, "module": "os", "config": "getcwd"},
    "a registered object": {
        "module": "toys",
        "class_name": "ShiftedViews",
        "config": {},
        "registered_name": "toys>ShiftedViews",
    },
    "another class by a stock name": {
        "module": "keras.layers",
        "class_name": "ReLU",
        "config": {},
        "registered_name": "toys>ShiftedViews",
    },
    "a lambda": {"class_name": "__lambda__", "config": {"code": "eA=="}},
    "a layer that runs a file": {
        "module": "keras.layers",
        "class_name": "TFSMLayer",
        "config": {"filepath": "/"},
        "registered_name": None,
    },
    "a layer of code": {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {},
        "registered_name": None,
    },
}


def model():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Activation("relu")(x))


def save_naming(path, named):
    """A file whose activation is what `named` says."""
    model().save(path.with_name("stock.keras"))
    with (
        zipfile.ZipFile(path.with_name("stock.keras")) as old,
        zipfile.ZipFile(path, "w") as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                text = content.decode()
                assert '"activation": "relu"' in text
                content = text.replace(
                    '"activation": "relu"', f'"activation": {json.dumps(named)}'
                )
            new.writestr(name, content)
    path.with_name("stock.keras").unlink()
    return path


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED)
def test_what_is_no_layer_is_refused_before_anything_is_built(
    named, tmp_path, monkeypatch
):
    path = save_naming(tmp_path / "encoder.keras", named)
    monkeypatch.setattr(keras.saving, "load_model", None)  # it does not come to that
    with pytest.raises(ValueError, match="must be made of layers of Keras"):
        read_stock_model(path)


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "build",
    [
        toys.encoder,
        lambda: kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=1 / 16),
        lambda: kv.encoder("vit_tiny", (32, 32, 3)),
        pytest.param(
            lambda: keras.applications.MobileNetV2(
                (32, 32, 3), alpha=0.35, include_top=False, weights=None
            ),
            marks=pytest.mark.slow_elsewhere,
        ),
    ],
    ids=["toy", "resnet", "vit", "applications"],
)
def test_what_backbones_are_made_of_is_loaded(build, tmp_path):
    built = build()
    built.save(tmp_path / "encoder.keras")
    loaded = read_stock_model(tmp_path / "encoder.keras")
    x = np.random.default_rng(0).uniform(0, 255, (2, *built.input_shape[1:]))
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), built.predict(x, verbose=0), atol=1e-5
    )


@pytest.mark.parametrize("damage", ["empty", "no configuration", "too large", "deep"])
def test_damaged_files_are_refused_in_one_line(damage, tmp_path):
    path = tmp_path / "encoder.keras"
    path.touch()
    if damage != "empty":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            if damage == "too large":
                archive.writestr("config.json", b" " * (MAX_SIZE + 1))
            elif damage == "deep":
                archive.writestr("config.json", b"[" * 10**6)
            else:
                archive.writestr("other.json", b"{}")
    with pytest.raises(ValueError, match=r"that `model.save` wrote") as error:
        read_stock_model(path)
    assert "\n" not in str(error.value)


def test_where_there_is_a_preset_it_is_what_counts(tmp_path):
    encoder = kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=1 / 16)
    for folder in (tmp_path / "cloned", tmp_path / "run" / "encoder"):
        kv.save_to_preset(encoder, folder, plain_keras=False)
    for folder in (tmp_path / "cloned", tmp_path / "run"):
        save_naming(folder / "encoder.keras", FUNCTION)
        loaded = load_encoder(str(folder))
        np.testing.assert_array_equal(
            kv.embed(loaded, toys.images(2, 32)), kv.embed(encoder, toys.images(2, 32))
        )
    (tmp_path / "cloned" / "vicreg.json").write_text("{}")
    with pytest.raises(kv.PresetError):
        load_encoder(str(tmp_path / "cloned"))


def test_a_run_folder_from_somebody_else_is_a_stranger(tmp_path):
    path = save_naming(tmp_path / "encoder.keras", FUNCTION)
    with pytest.raises(ValueError, match=r"names keras\.utils\.function"):
        load_encoder(str(tmp_path))
    model().save(path)
    assert load_encoder(str(tmp_path)).output_shape == (None, 3)
