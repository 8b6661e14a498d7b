"""What methods remember: momentum copies, queues, prototypes."""

import keras
import numpy as np
import pytest
import toys
from keras import ops

import keras_vicreg as kv
from keras_vicreg.methods.memory import EmbeddingQueue


def numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


class Weights(keras.callbacks.Callback):
    """The online weights after each step, those of the copy's parts."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def on_train_batch_end(self, batch, logs=None):
        parts = self.model.parts()
        self.steps.append(
            [numpy(w).astype("float64") for part in parts for w in part.weights]
        )


@pytest.mark.every_backend
@pytest.mark.parametrize("total_steps", [None, 10])
def test_a_copy_follows_as_the_closed_form_says(total_steps):
    model = toys.method(
        "byol",
        views=toys.ShiftedViews(),
        momentum=0.9,
        total_steps=total_steps,
        optimizer=keras.optimizers.SGD(0.5),
    )
    expected = [numpy(w).astype("float64") for p in model.parts() for w in p.weights]
    for weight, copy in zip(expected, model.target.copies):
        assert np.array_equal(weight, numpy(copy))
    seen = Weights()
    model.fit(toys.images(32), batch_size=16, epochs=6, verbose=0, callbacks=[seen])
    for step, online in enumerate(seen.steps):
        rise = (np.cos(np.pi * min(step / (total_steps or 1), 1)) + 1) / 2
        momentum = 0.9 if total_steps is None else 1 - 0.1 * rise
        expected = [momentum * c + (1 - momentum) * w for c, w in zip(expected, online)]
    weights = [w for part in model.parts() for w in part.weights]
    trained = [w.trainable for w in weights]
    assert sum(trained) < len(trained)
    for weight, copy, value in zip(weights, model.target.copies, expected):
        if weight.trainable:
            np.testing.assert_allclose(numpy(copy), value, atol=1e-6)
            if len(weight.shape) > 1:  # biases before a normalization stay
                assert np.abs(numpy(weight) - numpy(copy)).max() > 1e-4
    assert int(model.target.step) == 12


@pytest.mark.every_backend
def test_the_momentum_rises_along_a_cosine():
    model = toys.method("byol", momentum=0.996, total_steps=100)
    for step, expected in [
        (0, 0.996),
        (1, 0.9960009868792685),
        (50, 0.998),
        (99, 0.9999990131207315),
        (100, 1),
        (150, 1),
    ]:
        model.target.step.assign(step)
        assert 1 - float(model.target.rate()) == pytest.approx(expected, abs=1e-8)


@pytest.mark.every_backend
def test_a_copy_normalizes_by_the_batch_and_moves_its_own_statistics():
    model = toys.method("byol", momentum=1.0, optimizer=keras.optimizers.SGD(1.0))
    model.views = toys.ShiftedViews()
    model.fit(toys.images(32), batch_size=16, epochs=3, verbose=0)
    weights = [w for part in model.parts() for w in part.weights]
    moved = {
        weight.path.rpartition("/")[2]: np.abs(numpy(weight) - numpy(copy)).max()
        for weight, copy in zip(weights, model.target.copies)
    }
    assert moved["moving_mean"] > 1e-4  # other batches' statistics, of other weights
    views = toys.ShiftedViews()(toys.images(32))
    with model.target.in_place_of(model.parts()):
        embeddings = model.embed(tuple(views), training=True)
    hidden = keras.Model(model.expander.inputs, model.expander.layers[1].output)
    with model.target.in_place_of(model.parts()):
        normalized = hidden(model.encoder(views[0], training=True), training=True)
    assert len(embeddings) == 2
    std = numpy(normalized).std(axis=0)
    np.testing.assert_allclose(std[std > 0.5], 1, atol=1e-2)


@pytest.mark.every_backend
@pytest.mark.parametrize("method", sorted(kv.METHODS))
def test_the_optimizer_holds_what_is_trained_and_nothing_else(method):
    model = toys.method(method)
    model.trainable = True  # a flag that is handed on to all that is inside
    held = {v.path for v in model.trainable_variables}
    parts = [model.encoder, model.expander, model.predictor]
    trained = {v.path for p in parts if p is not None for v in p.trainable_variables}
    if method == "swav":
        trained.add(model.centres.path)
    assert held == trained


@pytest.mark.every_backend
def test_a_queue_is_a_ring():
    """Ten rows, four keys a step: "s.i" is key i of step s."""
    queue = EmbeddingQueue(2, 10, 1)
    for step in range(4):
        keys = np.array([[step + i / 10] for i in range(4)], "float32")
        queue.push([ops.convert_to_tensor(k) for k in (keys, -keys)])
        if step == 2:
            first, second = numpy(queue.rows)[..., 0]
            expected = [2.2, 2.3, 0.2, 0.3, 1.0, 1.1, 1.2, 1.3, 2.0, 2.1]
            np.testing.assert_allclose(first, expected, rtol=1e-6)
            np.testing.assert_allclose(second, -first)
            assert int(queue.pointer) == 2
    expected = [2.2, 2.3, 3.0, 3.1, 3.2, 3.3, 1.2, 1.3, 2.0, 2.1]
    np.testing.assert_allclose(numpy(queue.rows)[0, :, 0], expected, rtol=1e-6)
    assert int(queue.pointer) == 6


@pytest.mark.every_backend
@pytest.mark.parametrize("count", [7, 10, 13, 25])
def test_more_keys_than_there_is_room_for(count):
    queue, pushed = EmbeddingQueue(1, 10, 1), []
    for step in range(3):
        keys = np.arange(count, dtype="float32")[:, None] + 100 * step
        queue.push([ops.convert_to_tensor(keys)])
        pushed += list(keys[:, 0])
    oldest_first = np.roll(numpy(queue.rows)[0, :, 0], -int(queue.pointer))
    assert list(oldest_first) == pushed[-10:]


@pytest.mark.every_backend
def test_the_queue_of_moco_holds_the_keys_of_the_copy_in_order():
    model = toys.method(
        "moco", views=toys.ShiftedViews(), optimizer=keras.optimizers.SGD(0.0)
    )
    images = toys.images(32)
    views = toys.ShiftedViews()(images)
    model.fit(images, batch_size=16, shuffle=False, verbose=0)
    for ring, view in zip(numpy(model.queue.rows), views):
        keys = [
            numpy(model.expander(model.encoder(part, training=True), training=True))
            for part in (numpy(view)[:16], numpy(view)[16:])
        ]
        keys = np.concatenate(keys)[-24:]
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        oldest_first = np.roll(ring, -int(model.queue.pointer), axis=0)
        np.testing.assert_allclose(oldest_first, keys, atol=1e-5)
    before = numpy(model.queue.rows)
    model.evaluate(images, batch_size=16, verbose=0)
    assert np.array_equal(numpy(model.queue.rows), before)


@pytest.mark.every_backend
def test_prototypes_are_of_length_one_and_frozen_at_first():
    model = toys.method(
        "swav", toys.ShiftedViews(), frozen_steps=2, optimizer=keras.optimizers.SGD(1.0)
    )
    first = numpy(model.centres)
    for epoch in range(2):
        model.fit(toys.images(32), batch_size=16, verbose=0)
        moved = np.abs(numpy(model.centres) - first).max()
        assert (moved < 1e-6) == (epoch == 0)
        np.testing.assert_allclose(
            np.linalg.norm(numpy(model.centres), axis=1), 1, atol=1e-6
        )


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.5}, "`momentum` must be a number from 0 to 1"),
        ({"momentum": True}, "momentum=True"),
        ({"total_steps": 0}, "`total_steps` must be a positive integer"),
        ({"total_steps": 2.5}, "total_steps=2.5"),
    ],
)
def test_momenta_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        toys.method("byol", **options)
