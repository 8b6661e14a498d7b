"""Batches in pieces: the loss and the gradient of the whole batch."""

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv

pytestmark = pytest.mark.every_backend


def gradient(model, images):
    """Loss and change of the weights in one step of SGD with rate 1."""
    before = [np.array(w) for w in weights(model)]
    loss = model.fit(images, batch_size=len(images), shuffle=False, verbose=0)
    steps = [b - a for b, a in zip(before, weights(model))]
    return loss.history["loss"][0], steps


def weights(model):
    return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]


def toy(**options):
    return toys.vicreg(
        views=toys.ShiftedViews(), optimizer=keras.optimizers.SGD(1.0), **options
    )


@pytest.mark.parametrize(
    "microbatch_size",
    [
        pytest.param(1, marks=pytest.mark.slow_elsewhere),
        8,
        pytest.param(32, marks=pytest.mark.slow_elsewhere),
    ],
)
def test_the_gradient_is_that_of_the_whole_batch(microbatch_size):
    images = toys.images(32)
    expected = gradient(toy(batch_norm=False), images)
    loss, steps = gradient(
        toy(batch_norm=False, microbatch_size=microbatch_size), images
    )
    assert loss == pytest.approx(expected[0], rel=1e-6)
    scale = max(np.abs(step).max() for step in expected[1])
    for step, other in zip(steps, expected[1], strict=True):
        np.testing.assert_allclose(step, other, atol=1e-5 * scale)


def test_running_statistics_move_once_a_piece():
    """Momentum 0.9, 4 pieces of each of 2 views, nothing for the second pass."""
    images = toys.images(32)
    model = toy(microbatch_size=8)
    norm = next(
        layer
        for layer in model.encoder.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    until = keras.Model(model.encoder.input, norm.input)
    expected = np.zeros(6)
    views = toys.ShiftedViews()(images)
    features = [keras.ops.convert_to_numpy(until(view)) for view in views]
    for piece in range(4):  # every fourth image, of one view and of the other
        for view in features:
            mean = view[piece::4].mean(axis=(0, 1, 2))
            expected = 0.9 * expected + 0.1 * mean
    model.fit(images, batch_size=32, shuffle=False, verbose=0)
    found = keras.ops.convert_to_numpy(norm.moving_mean)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_normalization_takes_its_statistics_from_a_piece():
    """Against float64: the whole network and the loss, written out."""
    images = toys.images(32)
    model = toy(microbatch_size=8)
    kernels = [
        keras.ops.convert_to_numpy(v).astype("float64")
        for v in model.trainable_variables
    ]
    loss = model.fit(images, batch_size=32, shuffle=False, verbose=0).history["loss"][0]
    views = [keras.ops.convert_to_numpy(v) for v in toys.ShiftedViews()(images)]
    embeddings = []
    for view in views:
        z = np.empty((32, 16))
        for piece in range(4):
            z[piece::4] = ghost(view[piece::4].astype("float64"), *kernels)
        embeddings.append(z)
    terms = kv.vicreg_terms(*(keras.ops.convert_to_tensor(z) for z in embeddings))
    weighted = {"invariance": 25, "variance": 25, "covariance": 1}
    expected = sum(weighted[name] * float(value) for name, value in terms.items())
    assert loss == pytest.approx(expected, rel=1e-5)


def ghost(x, kernel, bias, gamma, beta, first, first_bias, g1, b1, last):
    """The toy network on one piece, with the statistics of that piece."""
    x = x / 127.5 - 1
    size = (x.shape[1] - 3) // 2 + 1
    out = np.empty((len(x), size, size, kernel.shape[-1]))
    for row in range(size):
        for column in range(size):
            patch = x[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            out[:, row, column] = np.tensordot(patch, kernel, 3) + bias
    mean, variance = out.mean((0, 1, 2)), out.var((0, 1, 2))
    out = (out - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    features = np.maximum(out, 0).mean((1, 2))
    hidden = features @ first + first_bias
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5) * g1 + b1
    return np.maximum(hidden, 0) @ last


def test_both_passes_drop_the_same_features():
    """With the same draws the loss falls as the gradient says, and only then."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    keras.utils.set_random_seed(0)
    x = keras.layers.Dropout(0.5, seed=1)(keras.layers.Dense(6, use_bias=False)(x))
    encoder = keras.Model(inputs, x)
    head = keras.Sequential([keras.layers.Dense(4, use_bias=False)])
    model = kv.VICReg(encoder, head, views=toys.ShiftedViews(), microbatch_size=8)
    draws = [v for v in encoder.non_trainable_variables if "seed" in v.name]
    assert draws
    start = [keras.ops.convert_to_numpy(v).copy() for v in draws]
    before, rate, losses = weights(model), 1e-6, []
    for learning_rate in (rate, 0.0):
        for variable, value in zip(draws, start, strict=True):
            variable.assign(value)
        model.compile(keras.optimizers.SGD(learning_rate))
        logs = model.fit(toys.images(32), batch_size=32, shuffle=False, verbose=0)
        losses += logs.history["loss"]
    steps = [b - a for b, a in zip(before, weights(model))]
    predicted = sum((step**2).sum() for step in steps) / rate
    assert losses[0] - losses[1] == pytest.approx(predicted, rel=0.05)


@pytest.mark.parametrize("microbatch_size", [0, 2.5, "8", True])
def test_sizes_that_are_none(microbatch_size):
    with pytest.raises(ValueError, match="must be a positive integer or None"):
        toys.vicreg(microbatch_size=microbatch_size)


def test_batches_that_cannot_be_cut():
    model = toy(microbatch_size=12)
    with pytest.raises(ValueError, match="must be a divisor of the batch size"):
        model.fit(toys.images(32), batch_size=32, verbose=0)


class Eights(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (toys.images(8),)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(
    "data",
    [Eights, lambda: (toys.images(8) for _ in range(2))],
    ids=["PyDataset", "generator"],
)
def test_a_size_that_does_not_divide_the_batches_of_a_dataset(data, method):
    model = toys.vicreg(views=toys.ShiftedViews(), microbatch_size=3)
    with pytest.raises(ValueError, match=r"a divisor of the batch size.*batch_size=8"):
        getattr(model, method)(data(), verbose=0)


def test_a_size_that_does_not_divide_the_batches_of_a_pipeline():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices(toys.images(16))
    unknown = tf.data.Dataset.from_generator(
        lambda: [toys.images(8)] * 2,
        output_signature=tf.TensorSpec((None, 8, 8, 3), "uint8"),
    )
    for batches in (data.batch(8), data.batch(8, drop_remainder=True), unknown):
        model = toys.vicreg(views=toys.ShiftedViews(), microbatch_size=3)
        with pytest.raises(ValueError, match=r"a divisor of the batch.*batch_size=8"):
            model.fit(batches, verbose=0)


def test_it_is_saved():
    config = toy(microbatch_size=8).get_config()
    assert kv.VICReg.from_config(config).microbatch_size == 8
