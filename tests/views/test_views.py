"""`kv.TwoViews`: what it makes of images, and that chance is where it belongs."""

import random

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg import augment
from keras_vicreg.views.maker import view_maker
from keras_vicreg.views.pipeline import ViewPipeline
from keras_vicreg.views.recipes import RECIPES, views_of

SIZE = 16
# One shape and one configuration for most tests: it is compiled once.
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 20, 24, 3), "uint8")


def views_of_images(layer, images=IMAGES):
    """The views as one NumPy array `(views, batch, height, width, channels)`."""
    return np.stack([keras.ops.convert_to_numpy(view) for view in layer(images)])


# The recipes -----------------------------------------------------------------------

STRONG = (0.8, 0.8, 0.8, 0.2)
HALF = (0.4, 0.4, 0.4, 0.1)
MILD = (0.4, 0.4, 0.2, 0.1)
# Crop scale; strengths of the jitter; probabilities of blur and solarization; of grey
# where it is not 0.2.
PUBLISHED = {
    "vicreg": [(0.08, MILD, 1.0, 0.0), (0.08, MILD, 0.1, 0.2)],
    "vicreg_cifar": [(0.2, MILD, 0.0, 0.1)] * 2,
    "simclr": [(0.08, STRONG, 0.5, 0.0)] * 2,
    "simclr_cifar": [(0.08, HALF, 0.0, 0.0)] * 2,
    "moco": [(0.2, HALF, 0.5, 0.0)] * 2,
    "moco_cifar": [(0.2, HALF, 0.0, 0.0)] * 2,
    "byol": [(0.08, MILD, 0.0, 0.0), (0.08, MILD, 0.0, 0.2)],
    "barlow_twins": [(0.08, MILD, 0.0, 0.0), (0.08, MILD, 0.0, 0.2)],
    "wmse": [(0.2, HALF, 0.0, 0.0, 0.1)] * 2,
}


def test_the_recipes_are_the_published_ones():
    assert set(RECIPES) == set(PUBLISHED)
    for name, views in PUBLISHED.items():
        for recipe, (scale, jitter, blur, solarize, *grey) in zip(RECIPES[name], views):
            pipeline = ViewPipeline(SIZE, recipe)
            crop = pipeline.crop.get_config()
            assert crop["size"] == (SIZE, SIZE)
            assert crop["scale"] == (scale, 1.0)
            assert crop["ratio"] == (3 / 4, 4 / 3)
            assert crop["interpolation"] == "bicubic"
            steps = [
                (augment.RandomHorizontalFlip, {"probability": 0.5}),
                (augment.ColorJitter, {"probability": 0.8} | names(jitter)),
                (augment.RandomGrayscale, {"probability": grey[0] if grey else 0.2}),
                (augment.RandomGaussianBlur, {"probability": blur, "sigma": (0.1, 2)}),
                (augment.RandomSolarize, {"probability": solarize, "threshold": 128}),
            ]
            steps = [step for step in steps if step[1]["probability"]]
            assert [type(step) for step in pipeline.steps] == [s[0] for s in steps]
            for step, (_, expected) in zip(pipeline.steps, steps):
                assert expected.items() <= step.get_config().items()


def names(jitter):
    return dict(zip(("brightness", "contrast", "saturation", "hue"), jitter))


def test_local_views_are_small_crops_after_larger_global_ones():
    plan = views_of("vicreg", (224, 112), local_views=3)
    assert [size for size, _ in plan] == [(224, 112)] * 2 + [(96, 48)] * 3
    scales = [view.scale for _, view in plan]
    assert scales == [(0.14, 1.0)] * 2 + [(0.05, 0.14)] * 3
    first, second = RECIPES["vicreg"]
    solarize = [view.solarize for _, view in plan]
    assert solarize == [first.solarize, second.solarize] * 2 + [first.solarize]
    small = views_of("simclr", (32, 32), 1)
    assert [size for size, _ in small] == [(32, 32)] * 2 + [(18, 18)]
    scales = [view.scale for _, view in small]
    assert scales == [(0.2, 1.0)] * 2 + [(0.08, 0.5)]
    assert views_of("wmse", (224, 224), 1)[0][1].scale == (0.2, 1.0)
    assert views_of("vicreg", (8, 8), 1, (5, 6))[2][0] == (5, 6)


@pytest.mark.every_backend
@pytest.mark.slow_elsewhere
def test_shapes_of_local_views():
    layer = kv.TwoViews((8, 12), "byol", seed=0, local_views=3, local_size=5)
    shapes = [(8, 8, 12, 3)] * 2 + [(8, 5, 5, 3)] * 3
    assert list(layer.compute_output_shape(IMAGES.shape)) == shapes
    assert [view.shape for view in layer(keras.Input(batch_shape=IMAGES.shape))] == (
        shapes
    )
    numbers = layer.uniform(len(IMAGES), layer.maker.numbers)
    views = layer.maker.of_images.function(IMAGES, numbers)
    assert [tuple(view.shape) for view in views] == shapes


# Chance ----------------------------------------------------------------------------


@pytest.mark.every_backend
def test_equal_seeds_give_equal_views_and_every_call_others():
    layer, again = kv.TwoViews(SIZE, seed=3), kv.TwoViews(SIZE, seed=3)
    first, second = views_of_images(layer), views_of_images(layer)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 255
    np.testing.assert_array_equal(views_of_images(again), first)
    np.testing.assert_array_equal(views_of_images(again), second)
    other = views_of_images(kv.TwoViews(SIZE, seed=4))
    for different in (second, other, first[::-1]):
        assert np.abs(first - different).mean(axis=(2, 3, 4)).min() > 1


@pytest.mark.every_backend
def test_every_image_and_every_view_has_its_own_draw():
    same = np.repeat(IMAGES[:1], 8, axis=0)
    views = views_of_images(kv.TwoViews(SIZE, seed=0), same)
    assert len({view.tobytes() for pair in views for view in pair}) == 16


@pytest.mark.every_backend
def test_views_depend_on_their_image_and_numbers_alone():
    maker = view_maker("vicreg", (SIZE, SIZE))
    numbers = keras.random.uniform((8, maker.numbers), seed=0)
    expected = keras.ops.convert_to_numpy(maker.of_images(IMAGES, numbers)[0])
    order = [5, 0, 7, 2, 1, 3, 6, 4]
    moved = maker.of_images(IMAGES[order], keras.ops.take(numbers, order, axis=0))[0]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(moved), expected[order], atol=1e-3
    )
    # Compiled or not, and whatever else is in the batch.
    alone = maker.of_images.function(IMAGES[2:3], numbers[2:3])[0]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(alone), expected[2:3], atol=1e-3
    )


@pytest.mark.every_backend
def test_every_epoch_of_fit_has_other_views():
    """At a learning rate of zero, nothing but the views changes the loss."""

    def losses(seed):
        views = kv.TwoViews(8, "vicreg_cifar", seed=seed)
        model = toys.vicreg(views=views, optimizer=keras.optimizers.SGD(0.0))
        history = model.fit(toys.images(16), batch_size=16, epochs=3, verbose=0).history
        assert min(history["invariance"]) > 1e-6  # the two views are not the same
        return history["loss"]

    first = losses(0)
    assert len(set(first)) == 3
    assert losses(0) == pytest.approx(first, rel=1e-6)
    assert losses(1) != pytest.approx(first, rel=1e-3)


@pytest.mark.every_backend
def test_every_epoch_of_a_dataset_has_other_views():
    tf = pytest.importorskip("tensorflow")

    def epochs():
        data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(4)
        pairs = data.map(kv.TwoViews(SIZE, seed=5))
        return [np.concatenate([view for view, _ in pairs]) for _ in range(2)]

    first, second = epochs()
    assert first.shape == (8, SIZE, SIZE, 3)
    assert np.abs(first - second).mean(axis=(1, 2, 3)).min() > 1
    assert np.abs(first[:4] - first[4:]).mean() > 1
    np.testing.assert_array_equal(epochs(), [first, second])


def test_replicas_draw_the_numbers_of_the_global_batch():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = kv.TwoViews(SIZE, seed=6)

    @tf.function
    def step():
        return strategy.run(lambda: layer(IMAGES[:4]))

    both = np.concatenate(
        [np.stack(strategy.experimental_local_results(view)) for view in step()]
    )
    assert len({view.tobytes() for view in both.reshape(16, -1)}) == 16
    together = kv.TwoViews(SIZE, seed=6)(np.concatenate([IMAGES[:4]] * 2))
    first = np.concatenate(both[:2])
    np.testing.assert_allclose(first, together[0], atol=1e-3)


# As a Keras layer ------------------------------------------------------------------


@pytest.mark.every_backend
def test_saved_and_loaded(tmp_path):
    layer = kv.TwoViews((8, 6), "simclr", 3, local_views=1, local_size=[4, 5])
    config = layer.get_config()
    given = {"recipe": "simclr", "seed": 3, "local_views": 1}
    assert given.items() <= config.items()
    assert kv.TwoViews.from_config(config).get_config() == config
    inputs = keras.Input((20, 24, 3))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "views.keras")
    loaded = keras.saving.load_model(tmp_path / "views.keras").layers[-1]
    assert [tuple(s) for s in loaded.compute_output_shape(IMAGES.shape)] == [
        tuple(s) for s in layer.compute_output_shape(IMAGES.shape)
    ]
    assert loaded.recipe == "simclr"
    assert loaded.seed == 3


@pytest.mark.every_backend
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_float32_under_any_policy(policy):
    expected = views_of_images(kv.TwoViews(SIZE, seed=3))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        result = views_of_images(kv.TwoViews(SIZE, seed=3))
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.every_backend
def test_a_single_image():
    views = kv.TwoViews(SIZE, seed=0)(IMAGES[0])
    assert [tuple(view.shape) for view in views] == [(SIZE, SIZE, 3)] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "`image_size` must be a positive integer or a pair"),
        ({"image_size": (8, 8, 8)}, "`image_size` must be"),
        ({"image_size": {}}, "`image_size` must be"),
        ({"image_size": 8, "recipe": "magic"}, "`recipe` must be one of .*vicreg"),
        ({"image_size": 8, "recipe": []}, "`recipe` must be one of"),
        ({"image_size": 8, "seed": "now"}, "`seed` must be an integer"),
        ({"image_size": 8, "local_views": -1}, "`local_views` must be an integer"),
        ({"image_size": 8, "local_size": -1}, "`local_size` must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kv.TwoViews(**arguments)


def test_images_of_an_unknown_number_of_channels():
    with pytest.raises(ValueError, match="must have a known number of channels"):
        kv.TwoViews(8).call(keras.Input((8, 8, None)))


@pytest.mark.every_backend
def test_making_views_with_a_seed_draws_no_random_number():
    """Whatever was cached before, or what is made next would hang on that."""
    view_maker.cache_clear()
    keras.utils.set_random_seed(5)
    expected = random.random()
    keras.utils.set_random_seed(5)
    for recipe in RECIPES:
        kv.TwoViews(8, recipe, seed=0, local_views=2)
    assert random.random() == expected
