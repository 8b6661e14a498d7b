"""The augmentation layers as Keras layers: in models, in tf.data, saved, refused."""

import keras
import numpy as np
import pytest

from keras_vicreg import augment

LAYERS = {
    augment.RandomResizedCrop: {"size": 24, "scale": (0.2, 0.9), "ratio": (0.5, 2.0)},
    augment.RandomHorizontalFlip: {"probability": 0.3},
    augment.ColorJitter: {"brightness": 0.8, "hue": 0.2, "probability": 0.9},
    augment.RandomGrayscale: {"probability": 0.4},
    augment.RandomGaussianBlur: {"probability": 0.6, "sigma": (0.5, 1.5)},
    augment.RandomSolarize: {"probability": 0.7, "threshold": 100},
    augment.RandomOperations: {"operations": 2, "fill": 100.0},
}


@pytest.fixture(params=LAYERS, ids=[kind.__name__ for kind in LAYERS])
def layer(request):
    """Every layer in turn, new for each test: its draws do not depend on others'."""
    return request.param(**LAYERS[request.param], seed=1)


@pytest.mark.every_backend
def test_configuration_survives(layer):
    config = layer.get_config()
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert again.get_config() == config
    assert config["seed"] == layer.seed
    images = np.random.default_rng(0).integers(0, 256, (4, 30, 30, 3), "uint8")
    first = type(layer).from_config(config)(images, training=True)
    second = again(images, training=True)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(first), keras.ops.convert_to_numpy(second)
    )


@pytest.mark.every_backend
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_number_of_channels(layer, channels):
    images = np.random.default_rng(0).integers(0, 256, (32, 30, 26, channels), "uint8")
    result = keras.ops.convert_to_numpy(layer(images, training=True))
    assert result.dtype == np.float32
    assert result.shape == tuple(layer.compute_output_shape(images.shape))
    coloured = isinstance(layer, augment.ColorJitter | augment.RandomGrayscale)
    if coloured and channels != 3:
        np.testing.assert_array_equal(result, images)
    else:
        assert not np.array_equal(result, images)
        assert result.min() >= 0
        assert result.max() <= 255


@pytest.mark.every_backend
def test_inference_leaves_images_alone(layer):
    """All but the size: that of the crop is the images' own here."""
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), "uint8")
    result = keras.ops.convert_to_numpy(layer(images, training=False))
    np.testing.assert_array_equal(result, images)


@pytest.mark.every_backend
def test_crop_takes_the_centre_at_inference():
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 60, 3), "uint8")
    layer = augment.RandomResizedCrop((15, 20))
    result = keras.ops.convert_to_numpy(layer(images, training=False))
    box = {"top": 0, "left": 16, "height": 20, "width": 27}
    rows = {k: keras.ops.full((2,), v, dtype="float32") for k, v in box.items()}
    expected = keras.ops.convert_to_numpy(layer.apply(images, rows))
    np.testing.assert_array_equal(result, expected)


@pytest.mark.every_backend
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_float32_under_any_policy(layer, policy):
    images = np.random.default_rng(0).uniform(0, 255, (4, 30, 30, 3)).astype("float32")
    config = layer.get_config()
    del config["dtype"]
    expected = type(layer)(**config)(images, training=True)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        result = type(layer)(**config)(images, training=True)
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(result), keras.ops.convert_to_numpy(expected)
    )


@pytest.mark.every_backend
@pytest.mark.parametrize("jit_compile", [True, False])
def test_layers_in_a_compiled_model(jit_compile):
    if (keras.config.backend(), jit_compile) in [("torch", True), ("jax", False)]:
        pytest.skip("minutes of torch.compile, or a program for every operation")
    inputs = keras.Input((20, 24, 3))
    x = inputs
    for seed, (kind, options) in enumerate(LAYERS.items()):
        x = kind(**options, seed=seed)(x)
    outputs = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", jit_compile=jit_compile)
    images = np.full((8, 20, 24, 3), (200, 90, 30), "uint8")
    history = model.fit(images, np.zeros((8, 3)), epochs=3, verbose=0).history
    assert len(set(history["loss"])) == 3  # other draws in every epoch
    np.testing.assert_allclose(
        model.predict(images, verbose=0), [[200, 90, 30]] * 8, rtol=1e-4
    )


@pytest.mark.every_backend
@pytest.mark.parametrize("known_size", [True, False])
def test_layers_in_tf_data(layer, known_size):
    tf = pytest.importorskip("tensorflow")
    image = np.random.default_rng(0).integers(0, 256, (30, 26, 3), "uint8")
    images = np.stack([image] * 16)
    size = (30, 26) if known_size else (None, None)

    def run(batched):
        again = type(layer).from_config(layer.get_config())
        shape = (None, *size, 3) if batched else (*size, 3)
        rows = [images[:9], images[9:]] if batched else list(images)
        data = tf.data.Dataset.from_generator(
            lambda: iter(rows), output_signature=tf.TensorSpec(shape, "uint8")
        )
        results = [result.numpy() for result in data.map(again)]
        return np.concatenate(results) if batched else np.stack(results)

    for batched in (True, False):
        result = run(batched)
        assert result.dtype == np.float32
        assert result.shape == tuple(layer.compute_output_shape(images.shape))
        np.testing.assert_array_equal(result, run(batched))
        assert len({view.tobytes() for view in result}) > 1  # a draw for every image


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.RandomResizedCrop(0), "`size` must be"),
        (lambda: augment.RandomResizedCrop((8, 8, 8)), "`size` must be"),
        (lambda: augment.RandomResizedCrop(8, scale=(0.5, 0.1)), "`scale` must be"),
        (lambda: augment.RandomResizedCrop(8, scale=(0.5, 1.1)), "`scale` must be"),
        (lambda: augment.RandomResizedCrop(8, ratio=(0, 1)), "`ratio` must be"),
        (lambda: augment.RandomResizedCrop(8, interpolation="best"), "interpolation"),
        (lambda: augment.RandomHorizontalFlip(1.5), "`probability` must be"),
        (lambda: augment.RandomGrayscale("often"), "`probability` must be"),
        (lambda: augment.RandomSolarize(-0.1), "`probability` must be"),
        (lambda: augment.ColorJitter(brightness=-1), "`brightness` must be"),
        (lambda: augment.ColorJitter(hue=0.6), "`hue` must be"),
        (lambda: augment.RandomGaussianBlur(sigma=(0, 1)), "`sigma` must be"),
        (lambda: augment.RandomGaussianBlur(sigma=1.0), "`sigma` must be"),
        (lambda: augment.RandomSolarize(seed="now"), "`seed` must be"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
