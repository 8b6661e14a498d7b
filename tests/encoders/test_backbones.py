"""Any Keras backbone becomes an encoder that VICReg trains, saves and reloads."""

import warnings

import keras
import numpy as np
import pytest

import keras_vicreg as kv
from keras_vicreg.encoders import as_encoder

SIDE = 32
SHAPE = (SIDE, SIDE, 3)
STD = np.array([0.229, 0.224, 0.225])
MEAN = np.array([0.485, 0.456, 0.406])


def images(samples=8, side=SIDE):
    shape = (samples, side, side, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def applications(name, **options):
    def build():
        build = getattr(keras.applications, name)
        return build(include_top=False, weights=None, input_shape=SHAPE, **options)

    return pytest.param(build, id=f"applications.{name}")


def keras_cv(name, **options):
    def build():
        return getattr(pytest.importorskip("keras_cv").models, name)(**options)

    return pytest.param(build, id=f"keras_cv.{name}")


def keras_hub(name, **options):
    def build():
        return getattr(pytest.importorskip("keras_hub").models, name)(**options)

    return pytest.param(build, id=f"keras_hub.{name}")


STAGES = {
    "stackwise_filters": [16, 32],
    "stackwise_blocks": [1, 1],
    "stackwise_strides": [1, 2],
    "include_rescaling": True,
    "input_shape": SHAPE,
}
HUB_RESNET = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [3],
    "stackwise_num_filters": [64, 64],
    "stackwise_num_blocks": [1, 1],
    "stackwise_num_strides": [1, 2],
    "block_type": "basic_block",
    "image_shape": SHAPE,
}
HUB_VIT = {
    "image_shape": SHAPE,
    "patch_size": 8,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "mlp_dim": 32,
}
BACKBONES = [
    applications("MobileNetV3Small"),
    applications("EfficientNetV2B0"),
    applications("ConvNeXtTiny"),
    keras_cv("ResNetBackbone", **STAGES),
    keras_cv("ResNetV2Backbone", **{**STAGES, "stackwise_blocks": [2, 2]}),
    keras_cv(
        "CSPDarkNetBackbone",
        stackwise_channels=[16, 32],
        stackwise_depth=[1, 1],
        include_rescaling=False,
        input_shape=SHAPE,
    ),
    keras_cv(
        "EfficientNetV2Backbone",
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 1],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25],
        stackwise_strides=[1, 2],
        stackwise_conv_types=["fused", "unfused"],
        width_coefficient=1.0,
        depth_coefficient=1.0,
        include_rescaling=True,
        input_shape=SHAPE,
    ),
    keras_hub("ResNetBackbone", **HUB_RESNET),
    keras_hub("ViTBackbone", **HUB_VIT),
]


@pytest.mark.slow
@pytest.mark.parametrize("build", BACKBONES)
@pytest.mark.filterwarnings("ignore:.*(momentum|expects images)")
def test_vicreg_trains_saves_and_reloads(build, tmp_path):
    backbone = build()
    model = kv.VICReg(backbone, kv.expander((32, 32)))
    x = images()
    # Tracing the larger graphs takes longer than running them once.
    eagerly = backbone.count_params() > 2_000_000
    model.compile("sgd", jit_compile=False, run_eagerly=eagerly)
    before = [to_numpy(v).copy() for v in backbone.trainable_variables]
    history = model.fit((x, x[:, :, ::-1]), batch_size=8, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    # The backbone itself was trained: it is nested, not copied.
    after = [to_numpy(v) for v in backbone.trainable_variables]
    assert sum(np.any(a != b) for a, b in zip(after, before)) > 0.6 * len(after)

    model.save(tmp_path / "vicreg.keras")
    expected = to_numpy(model.encoder(x))
    assert expected.ndim == 2
    loaded = keras.saving.load_model(tmp_path / "vicreg.keras")
    np.testing.assert_allclose(to_numpy(loaded.encoder(x)), expected, 1e-5, 1e-6)


def scaled(build, x):
    """What `as_encoder` gives a backbone built with `build`, and what it says."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = as_encoder(build())
    nested = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    seen = keras.Model(model.input, nested._inbound_nodes[-1].input_tensors[0])
    messages = [str(w.message) for w in said if "expects images" in str(w.message)]
    return to_numpy(seen(x)), messages


@pytest.mark.parametrize(
    "name",
    [
        *("ResNet50", "ResNet50V2", "DenseNet121", "VGG16", "Xception", "MobileNet"),
        *("MobileNetV2", "InceptionV3", "InceptionResNetV2", "NASNetMobile"),
    ],
)
def test_applications_are_given_what_their_own_preprocessing_gives(name):
    """Against `keras.applications.*.preprocess_input` of the same family."""
    home = getattr(keras.applications, name).__module__.rpartition(".")[2]
    preprocess = getattr(keras.applications, home).preprocess_input
    x = images(2, 96)

    def build():
        build = getattr(keras.applications, name)
        return build(include_top=False, weights=None, input_shape=(96, 96, 3))

    seen, messages = scaled(build, x)
    np.testing.assert_allclose(seen, preprocess(x.copy()), rtol=1e-5, atol=1e-4)
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MobileNetV3Small", images(2) / 127.5 - 1),
        ("EfficientNetV2B0", (images(2) / 255 - MEAN) / STD),
        ("ConvNeXtTiny", (images(2) / 255 - MEAN) / STD),
    ],
)
def test_applications_without_their_preprocessing_are_given_it(name, expected):
    param = applications(name, include_preprocessing=False)
    seen, messages = scaled(param.values[0], images(2))
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    assert len(messages) == 1
    seen, messages = scaled(applications(name).values[0], images(2))
    np.testing.assert_array_equal(seen, images(2))
    assert messages == []


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        *(("B3", 3), ("S", 3)),
        *(pytest.param(name, 3, marks=pytest.mark.slow) for name in "ML"),
        *(pytest.param(f"B{size}", 3, marks=pytest.mark.slow) for size in (1, 2)),
        *(pytest.param(name, 5, marks=pytest.mark.slow) for name in ("B0", "S")),
    ],
)
def test_efficientnets_are_given_what_their_own_layers_would_give(name, channels):
    """What stands before the stem of the model that brings its preprocessing along."""
    build = getattr(keras.applications, f"EfficientNetV2{name}")
    options = {"include_top": False, "weights": None, "input_shape": (32, 32, channels)}
    whole = build(**options)
    before = whole.get_layer("stem_conv")._inbound_nodes[0].input_tensors[0]
    x = np.random.default_rng(0).integers(0, 256, (2, 32, 32, channels))
    x = x.astype("float32")
    own = to_numpy(keras.Model(whole.input, before)(x))
    seen, messages = scaled(lambda: build(**options, include_preprocessing=False), x)
    np.testing.assert_allclose(seen, own, rtol=1e-5, atol=1e-5)
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        (keras_cv("ResNetBackbone", **STAGES), images(2)),
        (
            keras_cv("ResNetBackbone", **{**STAGES, "include_rescaling": False}),
            images(2) / 255,
        ),
        (keras_hub("ResNetBackbone", **HUB_RESNET), (images(2) / 255 - MEAN) / STD),
        (keras_hub("ViTBackbone", **HUB_VIT), images(2) / 127.5 - 1),
    ],
)
def test_backbones_of_the_libraries_are_given_what_their_weights_expect(
    param, expected
):
    seen, messages = scaled(param.values[0], images(2))
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    assert len(messages) == int(np.any(expected != images(2)))


def functional(outputs, shape=SHAPE, **options):
    inputs = keras.Input(shape, **options)
    return keras.Model(inputs, outputs(inputs))


def test_feature_maps_are_averaged_by_position():
    maps = functional(lambda x: keras.layers.Conv2D(5, 3)(x))
    x = images()
    expected = to_numpy(maps(x)).mean((1, 2))
    np.testing.assert_allclose(to_numpy(as_encoder(maps)(x)), expected, 1e-4, 1e-3)


def test_tokens_are_averaged():
    tokens = functional(lambda x: keras.layers.Reshape((64, 48))(x))
    expected = to_numpy(tokens(images())).mean(1)
    np.testing.assert_allclose(to_numpy(as_encoder(tokens)(images())), expected, 1e-5)


def test_what_is_an_encoder_already_stays_as_it_is():
    for model in (
        kv.encoder("resnet18", SHAPE, width=0.25),
        functional(lambda x: keras.layers.Flatten()(x)),
    ):
        assert as_encoder(model) is model
    pooled = as_encoder(functional(lambda x: keras.layers.Conv2D(5, 3)(x)))
    assert as_encoder(pooled) is pooled


def test_sequential_models_will_do():
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3)])
    assert as_encoder(model).output_shape == (None, 4)


def test_one_input_in_a_list_and_one_output_in_a_dict_will_do():
    x = keras.Input(SHAPE)
    model = keras.Model([x], {"top": keras.layers.Flatten()(x)})
    result = as_encoder(model)(images())
    np.testing.assert_array_equal(to_numpy(result), images().reshape(8, -1))


@pytest.mark.parametrize(("momentum", "warned"), [(0.9, 0), (0.99, 1), (0.999, 1)])
def test_slow_statistics_are_warned_about(momentum, warned):
    inner = functional(lambda x: keras.layers.BatchNormalization(momentum=momentum)(x))
    model = functional(lambda x: inner(x))  # found in a nested model too
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kv.VICReg(model)
    assert len([w for w in said if f"momentum {momentum}" in str(w.message)]) == warned


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "must be a keras.Model"),
        ("resnet50", "must be a keras.Model"),
        (keras.layers.Conv2D(3, 3), "must be a keras.Model"),
        (keras.Sequential([keras.layers.Conv2D(3, 3)]), "must know its input"),
        (Subclassed(), "must know its input"),
        (functional(lambda x: x, shape=(7,)), "one input, images"),
        (functional(lambda x: x, shape=(4, 32, 32, 3)), "one input, images"),
        (
            keras.Model([a := keras.Input(SHAPE), b := keras.Input(SHAPE)], a + b),
            "one input, images",
        ),
        (functional(lambda x: x, dtype="int32"), "must take float images"),
        (functional(lambda x: x, dtype="uint8"), "must take float images"),
        (functional(lambda x: {"P3": x, "P4": x}), "one output.*'P3', 'P4'"),
        (functional(lambda x: [x, x]), "one output.*0, 1"),
        (functional(lambda x: keras.ops.mean(x, (1, 2, 3))), "must give vectors"),
        (functional(lambda x: keras.layers.Reshape((4, 8, 32, 3))(x)), "give vectors"),
        (
            functional(lambda x: keras.layers.Dense(9, activation="softmax")(x)),
            "representations, not classes",
        ),
    ],
)
def test_what_cannot_be_an_encoder_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        as_encoder(model)


def test_pyramids_of_keras_hub_are_refused():
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(**HUB_RESNET)
    pyramid = keras.Model(backbone.inputs, backbone.pyramid_outputs)
    with pytest.raises(ValueError, match=r"one output.*'P2', 'P3'"):
        as_encoder(pyramid)
    finest = keras.Model(pyramid.input, pyramid.output["P2"])
    assert as_encoder(finest).output_shape == (None, 64)


def test_text_backbones_are_refused():
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=9,
        num_layers=1,
        num_heads=1,
        hidden_dim=4,
        intermediate_dim=4,
    )
    with pytest.raises(ValueError, match="one input, images"):
        as_encoder(backbone)
