"""The encoders there are: what they take, how they begin, what they refuse."""

import keras
import numpy as np
import pytest
from twins import images, outputs

import keras_vicreg as kv


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet50", 23_508_032),
        ("resnet50x2", 93_907_072),
        # 0.27 and 0.85 million in the paper, less the classifier, and with the
        # convolutions of two shortcuts, which it pads with zeros
        ("resnet20", 269_722 - 650 + 2_752),
        ("resnet56", 853_018 - 650 + 2_752),
        pytest.param("resnet200x2", 250_128_512, marks=pytest.mark.slow),
    ],
)
def test_parameters_are_the_papers(name, parameters):
    weights = kv.encoder(name).trainable_variables
    assert sum(int(np.prod(v.shape)) for v in weights) == parameters


def test_initialization():
    """Kaiming normal by fan-out; the last gamma of a block is zero, others one."""
    model = kv.encoder("resnet50", (32, 32, 3))
    kernel = keras.ops.convert_to_numpy(model.get_layer("layer3_1_conv2").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 256)), rel=0.01)
    assert np.abs(kernel).max() > 3.5 * kernel.std()  # not truncated
    for name, value in (("bn1", 1), ("bn2", 1), ("bn3", 0), ("downsample_1", 1)):
        gamma = model.get_layer(f"layer2_0_{name}").gamma
        assert np.all(keras.ops.convert_to_numpy(gamma) == value)
    norm = model.get_layer("bn1")
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


@pytest.mark.parametrize(("name", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_the_last_gamma_of_every_block_is_zero_and_no_other(name, last):
    model = kv.encoder(name, (32, 32, 3), stem="cifar", width=1 / 16)
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    zero = {n.name for n in norms if not np.any(keras.ops.convert_to_numpy(n.gamma))}
    assert zero == {n.name for n in norms if n.name.endswith(f"_{last}")}
    assert len(zero) == {"resnet18": 8, "resnet50": 16}[name]  # a block each


@pytest.mark.parametrize(
    ("name", "parameters"),
    # timm's of the same name, less class token, its position and the patch bias
    [("vit_tiny", 5_524_416 - 3 * 192), ("vit_small", 21_665_664 - 3 * 384)],
)
def test_vit_parameters(name, parameters):
    assert kv.encoder(name).count_params() == parameters


def test_input_is_raw_images():
    """uint8 and float give the same; channels are normalised one by one."""
    model = kv.encoder(
        "resnet18", (32, 32, 3), width=0.25, mean=[0, 0.5, 1], std=[1] * 3
    )
    x = images(32)
    np.testing.assert_array_equal(outputs(model, x.astype("uint8")), outputs(model, x))
    normalized = keras.Model(model.input, model.get_layer("normalization").output)
    np.testing.assert_allclose(outputs(normalized, x), x / 255 - [0, 0.5, 1], atol=1e-6)


@pytest.mark.skipif(keras.config.backend() == "torch", reason="set for channels last")
def test_a_configuration_of_channels_first_changes_nothing():
    model = kv.encoder("resnet18", (32, 32, 3), width=0.25)
    keras.config.set_image_data_format("channels_first")
    try:
        same = kv.encoder("resnet18", (32, 32, 3), width=0.25)
        same.set_weights(model.get_weights())
        np.testing.assert_array_equal(
            outputs(same, images(32)), outputs(model, images(32))
        )
    finally:
        keras.config.set_image_data_format("channels_last")


def test_feature_maps_are_reachable_by_name():
    model = kv.encoder("resnet50", (64, 96, 3), width=0.25)
    shapes = [model.get_layer(f"layer{i}").output.shape for i in (1, 2, 3, 4)]
    assert [s[1:] for s in shapes] == [
        (16, 24, 64),
        (8, 12, 128),
        (4, 6, 256),
        (2, 3, 512),
    ]
    vit = kv.encoder("vit_tiny", (64, 96, 3))
    assert vit.get_layer("feature_map").output.shape[1:] == (4, 6, 192)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet19", {}, "`name` must be one of resnet18"),
        (["resnet18"], {}, "`name` must be one of"),
        ("resnet18", {"stem": "imagenette"}, "`stem` must be"),
        ("resnet18", {"patch_size": 4}, "among stem, width, mean, std"),
        ("vit_tiny", {"width": 1}, "among patch_size, mean, std"),
        *(
            ("resnet50x2", {"width": width}, "`width` must be")
            for width in (0, -1, 2.5, 1e9, 0.33, True, None, "1", float("nan"))
        ),
        *(("resnet20", {"width": w}, "of 1/16 between 1/4 and") for w in (1 / 8, 0.3)),
        *(
            ("resnet18", {"image_shape": shape}, "`image_shape` must be")
            for shape in (
                *(None, 32, (32, 32), (0, 32, 3), (32, 1 << 20, 3), (32.0, 32, 3)),
                *((32, 32, None), (32, 32, 10_000), (True, 32, 3), "abc"),
            )
        ),
        ("resnet18", {"image_shape": (32, 32, 1)}, "a list of 1 numbers"),
        ("resnet18", {"mean": [0.5] * 4}, "`mean` must be"),
        ("resnet18", {"mean": [0.5, float("inf"), 0]}, "`mean` must be"),
        ("resnet18", {"std": [0.5, 0.5, 0]}, "`std` must be"),
        ("resnet18", {"std": 0.5}, "`std` must be"),
        ("vit_tiny", {"patch_size": 0}, "`patch_size` must be"),
        ("vit_tiny", {"patch_size": 16.0}, "`patch_size` must be"),
        ("vit_tiny", {"patch_size": 15}, "multiples of the patch size"),
        ("vit_tiny", {"image_shape": (None, None, 3)}, "multiples of the patch size"),
        ("vit_tiny", {"patch_size": 1}, "16384 patches at most"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        kv.encoder(name, **options)
