"""What the base model takes and refuses."""

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv


@pytest.mark.every_backend
def test_images_and_pairs_give_the_same_run():
    x = toys.images(32)
    pairs = tuple(keras.ops.convert_to_numpy(v) for v in toys.ShiftedViews()(x))
    from_images = toys.vicreg(views=toys.ShiftedViews())
    from_pairs = toys.vicreg()
    losses = [
        model.fit(data, batch_size=16, epochs=2, shuffle=False, verbose=0).history[
            "loss"
        ]
        for model, data in ((from_images, x), (from_pairs, pairs))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_datasets_of_images_pairs_and_labels_give_the_same_run():
    import tensorflow as tf

    x = toys.images(32)
    images = tf.data.Dataset.from_tensor_slices(x).batch(16, drop_remainder=True)
    labels = tf.data.Dataset.from_tensors(np.zeros(16)).repeat()
    views = toys.ShiftedViews()
    runs = [
        (views, images),
        (views, tf.data.Dataset.zip(images, labels)),
        (None, images.map(lambda x: (views(x),))),
    ]
    losses = [
        toys.vicreg(views=v).fit(d, epochs=2, verbose=0).history["loss"]
        for v, d in runs
    ]
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-6)


def test_a_dataset_that_yields_the_second_view_as_labels_is_refused():
    import tensorflow as tf

    x = toys.images(32)
    data = tf.data.Dataset.from_tensor_slices((x, x)).batch(16)
    for views in (None, toys.ShiftedViews()):
        with pytest.raises(ValueError, match=r"lambda a, b: \(\(a, b\),\)"):
            toys.vicreg(views=views).fit(data, verbose=0)


@pytest.mark.every_backend
def test_images_without_views_are_refused():
    with pytest.raises(ValueError, match=r"views=kv\.TwoViews"):
        toys.vicreg().fit(toys.images(), batch_size=16, verbose=0)


@pytest.mark.parametrize(
    ("x", "batch_size", "message"),
    [
        (toys.images(8), 16, "batch_size=16, 8 images"),
        (toys.images(8), 1, "`batch_size` must be an integer of at least 2"),
        (toys.images(8), 2.0, "batch_size=2.0"),
        (toys.images(8)[0], 4, r"shape \(n, height, width, channels\)"),
        ((toys.images(8), toys.images(7)), 4, "views must be of the same images"),
        ((toys.images(8), toys.images(8, 6)), 4, "views must have equal shapes"),
    ],
)
def test_arrays_are_checked(x, batch_size, message):
    with pytest.raises(ValueError, match=message):
        toys.vicreg(views=toys.ShiftedViews()).fit(x, batch_size=batch_size, verbose=0)


def test_nan_pixels_are_refused():
    x = toys.images(32).astype("float32")
    x[[3, 7], 0, 0, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 of 32 images, the first at index 3"):
        toys.vicreg(views=toys.ShiftedViews()).fit(x, batch_size=16, verbose=0)


def test_batch_size_of_a_dataset_is_refused():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(toys.images()).batch(16)
    with pytest.raises(ValueError, match="brings its own batches"):
        toys.vicreg(views=toys.ShiftedViews()).fit(data, batch_size=8, verbose=0)


def test_compile_takes_no_loss_and_no_accumulation():
    model = toys.vicreg()
    for name in ("loss", "metrics"):
        with pytest.raises(ValueError, match=f"`{name}` must not be given"):
            model.compile("sgd", **{name: "mse"})
    accumulating = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    for optimizer in (
        accumulating,
        keras.optimizers.LossScaleOptimizer(accumulating),
    ):
        with pytest.raises(ValueError, match="gradient_accumulation_steps=2"):
            model.compile(optimizer)


@pytest.mark.parametrize("weight", [-1, "1", None, float("nan")])
def test_weights_are_checked(weight):
    with pytest.raises(ValueError, match="`covariance_weight` must be a number"):
        toys.vicreg(covariance_weight=weight)


def test_views_are_checked():
    with pytest.raises(ValueError, match="`views` must be a layer"):
        toys.vicreg(views="vicreg")


@pytest.mark.every_backend
def test_weight_regularizers_of_the_encoder_count():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(
        4, kernel_regularizer="l2", kernel_initializer="ones", name="dense"
    )(x)
    model = kv.VICReg(
        keras.Model(inputs, x), kv.expander((4,)), views=toys.ShiftedViews()
    )
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(toys.images(8), batch_size=8, verbose=0).history
    terms = sum(w * history[name][0] for name, w in model.term_weights.items())
    assert history["loss"][0] == pytest.approx(terms + 0.01 * 192 * 4, rel=1e-5)


@pytest.mark.every_backend
def test_the_health_metric_is_the_standard_deviation_of_the_embeddings():
    model = toys.vicreg(views=toys.ShiftedViews(), batch_norm=False)
    x = toys.images(32)
    logs = model.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    views = [keras.ops.convert_to_numpy(v) for v in toys.ShiftedViews()(x)]
    expected = np.mean([model.predict(v, verbose=0).std(axis=0) for v in views])
    assert logs["embedding_std"] == pytest.approx(expected, rel=1e-4)


def test_replicas_compute_the_loss_of_the_global_batch():
    """Two replicas of 8 images each follow one replica of 16, without batch norm."""
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(toys.images(64)).batch(
        16, drop_remainder=True
    )
    runs = []
    for strategy in ("none", "mirrored"):
        with kv.distribution(strategy):
            model = toys.vicreg(batch_norm=False, views=toys.ShiftedViews())
        history = model.fit(data, epochs=3, verbose=0).history
        runs.append((history, model.get_weights()))
    assert model.distribute_strategy.num_replicas_in_sync == 2
    for name, values in runs[0][0].items():
        assert runs[1][0][name] == pytest.approx(values, rel=1e-5), name
    for one, two in zip(runs[0][1], runs[1][1]):
        np.testing.assert_allclose(one, two, atol=1e-6)
