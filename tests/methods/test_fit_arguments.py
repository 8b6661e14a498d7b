"""Orders of `fit`, and what it takes no notice of without saying so: nothing."""

import itertools

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg.devices import replicas


class Recorder(keras.layers.Layer):
    """Views that note the first pixel of each image."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, images):
        pixels = keras.ops.convert_to_numpy(images)[:, 0, 0, 0]
        self.seen.append([int(pixel) for pixel in pixels])
        images = keras.ops.cast(images, "float32")
        return images, images


@pytest.fixture
def orders():
    """A function of arguments of `fit` -> the order of images in each of its epochs."""
    images = np.zeros((20, 8, 8, 3), "uint8")
    images[:, 0, 0, 0] = np.arange(20)

    def of(calls=1, **options):
        recorder = Recorder()
        model = kv.VICReg(toys.encoder(), kv.expander((8, 8)), views=recorder)
        model.compile("sgd", run_eagerly=True, jit_compile=False)
        epochs = []
        for _ in range(calls):
            before = len(recorder.seen)
            model.fit(images, batch_size=8, verbose=0, **options)
            batches = [b for b in recorder.seen[before:] if len(b) == 8]
            epochs += [a + b for a, b in zip(batches[::2], batches[1::2])]
        return epochs

    return of


@pytest.mark.skipif(keras.config.backend() == "jax", reason="steps are never eager")
@pytest.mark.every_backend
def test_every_epoch_has_an_order_of_its_own_whoever_counts_them(orders):
    """One call of three epochs or three calls of one; and every image comes by."""
    for options in ({"epochs": 3}, {"calls": 3}):
        found = orders(**options)
        assert len({tuple(order) for order in found}) == len(found) == 3
        assert all(order != sorted(order) for order in found)
    assert set(itertools.chain(*orders(calls=8))) == set(range(20))


@pytest.mark.skipif(keras.config.backend() == "jax", reason="steps are never eager")
@pytest.mark.every_backend
def test_the_order_comes_from_the_seed_of_keras(orders):
    found = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        found.append(orders(epochs=2))
    assert found[0] == found[1] != found[2]


@pytest.mark.skipif(keras.config.backend() == "jax", reason="steps are never eager")
@pytest.mark.every_backend
def test_without_shuffling_the_order_is_that_of_the_images(orders):
    assert orders(calls=2, shuffle=False) == [list(range(16))] * 2


@pytest.mark.every_backend
def test_the_seed_of_keras_decides_the_training():
    """The same on every backend, compiled: seeds give runs, and orders matter."""
    images = toys.images(40)
    losses = []
    for seed in (3, 3, 4):
        model = toys.vicreg(views=toys.ShiftedViews())
        keras.utils.set_random_seed(seed)
        history = model.fit(images, batch_size=16, epochs=2, verbose=0).history
        losses.append(history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != pytest.approx(losses[2], rel=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weight": np.zeros(32)}, r"`sample_weight` must not be given"),
        ({"class_weight": {0: 0.0}}, r"`class_weight` must not be given"),
        ({"validation_split": 0.2}, r"`validation_split`.*`validation_data=`"),
        ({"y": np.zeros(5)}, r"5 labels for 32 images"),
        ({"y": np.zeros((33, 10))}, r"33 labels for 32 images"),
        (
            {"validation_data": (toys.images(8), np.zeros(8), np.ones(8))},
            r"`sample_weight` must not be given",
        ),
        ({"validation_data": (toys.images(8), np.zeros(7))}, r"7 labels for 8 images"),
    ],
)
def test_what_would_be_ignored_is_refused(options, message):
    model = toys.vicreg(views=toys.ShiftedViews())
    with pytest.raises(ValueError, match=message):
        model.fit(toys.images(32), batch_size=8, verbose=0, **options)


@pytest.mark.every_backend
def test_evaluate_refuses_the_same():
    model, images = toys.vicreg(views=toys.ShiftedViews()), toys.images(8)
    with pytest.raises(ValueError, match="`sample_weight` must not be given"):
        model.evaluate(images, sample_weight=np.ones(8), verbose=0)
    with pytest.raises(ValueError, match="9 labels for 8 images"):
        model.evaluate(images, np.zeros(9), verbose=0)


def test_a_dataset_of_weights_is_refused():
    tf = pytest.importorskip("tensorflow")
    parts = toys.images(16), np.zeros(16), np.ones(16)
    data = tf.data.Dataset.from_tensor_slices(parts).batch(8, drop_remainder=True)
    model = toys.vicreg(views=toys.ShiftedViews())
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="`sample_weight` must not be given"):
            call(data, verbose=0)
    with pytest.raises(ValueError, match="`y` must be None when `x` is a dataset"):
        model.fit(data, np.zeros(16), verbose=0)


@pytest.mark.every_backend
def test_labels_that_come_along_are_still_ignored():
    images = toys.images(16)
    losses = []
    for y in (None, np.zeros(16), np.zeros((16, 10)), list(range(16))):
        model = toys.vicreg(views=toys.ShiftedViews())
        history = model.fit(images, y, batch_size=8, shuffle=False, verbose=0).history
        losses.append(history["loss"])
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-6)


def test_several_steps_at_a_time_on_several_devices_are_refused():
    if keras.config.backend() != "tensorflow":
        pytest.skip("two devices are tested on TensorFlow")
    with kv.distribution("mirrored"):
        model = toys.vicreg()
        assert replicas.num_devices() == 2
    with pytest.raises(ValueError, match=r"steps_per_execution=4"):
        model.compile("sgd", steps_per_execution=4)
    model.compile("sgd", steps_per_execution=1)


@pytest.mark.every_backend
@pytest.mark.parametrize("steps", [2, np.int64(4), "auto"])
def test_so_they_are_on_every_backend(steps, monkeypatch):
    model = toys.vicreg()
    monkeypatch.setattr(replicas, "num_devices", lambda: 2)
    with pytest.raises(ValueError, match="`steps_per_execution` must be 1"):
        model.compile("sgd", steps_per_execution=steps)
    for one in (1, None):
        model.compile("sgd", steps_per_execution=one)


@pytest.mark.every_backend
def test_the_weights_of_the_terms_weigh_in_training():
    """From the same start, the gradient of a doubled weight is doubled."""
    changes = []
    for weight in (1.0, 2.0):
        model = toys.vicreg(
            views=toys.ShiftedViews(),
            invariance_weight=0.0,
            covariance_weight=0.0,
            variance_weight=weight,
        )
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(0.01))
        model.fit(toys.images(16), batch_size=16, shuffle=False, verbose=0)
        kernel = next(i for i, w in enumerate(before) if w.ndim == 4)
        changes.append(model.get_weights()[kernel] - before[kernel])
    assert np.abs(changes[0]).max() > 1e-6
    np.testing.assert_allclose(changes[1], 2 * changes[0], rtol=1e-3, atol=1e-7)


@pytest.mark.every_backend
def test_fit_before_compile_is_refused_in_keras_words():
    model = kv.VICReg(toys.encoder(), kv.expander((8, 8)), views=toys.ShiftedViews())
    with pytest.raises(ValueError, match=r"call `compile\(\)` before"):
        model.fit(toys.images(32), batch_size=16, verbose=0)
