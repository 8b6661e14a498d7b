"""No `tf.data` pipeline of the package's own is tuned; users may ask for it."""

import sys

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg.data.untuned import untuned
from keras_vicreg.data.untuned_inputs import untuned_inputs

needs_tensorflow = pytest.mark.skipif(
    "tensorflow" not in sys.modules, reason="tf.data is TensorFlow's"
)


def tuned(dataset):
    return dataset.options().autotune.enabled


@pytest.fixture
def datasets(monkeypatch):
    """What Keras iterates over on TensorFlow, as it comes to it."""
    import tensorflow as tf

    seen = []
    strategy = type(tf.distribute.get_strategy())
    deal_out = strategy.experimental_distribute_dataset

    def spy(self, dataset, *arguments):
        seen.append(dataset)
        return deal_out(self, dataset, *arguments)

    monkeypatch.setattr(strategy, "experimental_distribute_dataset", spy)
    return seen


@needs_tensorflow
def test_a_dataset_is_the_same_without_tuning():
    import tensorflow as tf

    dataset = tf.data.Dataset.range(5).batch(2)
    assert tuned(dataset) is None
    other = untuned(dataset)
    assert tuned(other) is False
    assert other.element_spec == dataset.element_spec
    assert other.cardinality() == 3
    for one, two in zip(other, dataset, strict=True):
        np.testing.assert_array_equal(one, two)


@needs_tensorflow
def test_who_asks_for_tuning_has_it():
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = True
    dataset = tf.data.Dataset.range(5).with_options(options)
    assert tuned(untuned(dataset)) is True


@pytest.mark.every_backend
@pytest.mark.slow_elsewhere
def test_batches_of_a_pydataset_are_shuffled_or_not_as_asked():
    class Numbers(keras.utils.PyDataset):
        def __len__(self):
            return 20

        def __getitem__(self, index):
            return (np.full((2, 8, 8, 3), index, "float32"),)

    orders = {True: [], False: []}
    for shuffle, order in orders.items():
        model = toys.vicreg(views=Seen(order))
        model.run_eagerly = True
        model.fit(Numbers(), shuffle=shuffle, verbose=0)
        del order[:-20]  # those that Keras looked at beforehand
        assert sorted(order) == list(range(20))
    assert orders[False] == list(range(20)) != orders[True]


class Seen(keras.layers.Layer):
    """Two views of images that are noted."""

    def __init__(self, order):
        super().__init__()
        self.note = order.append

    def call(self, images):
        self.note(int(images[0, 0, 0, 0]))
        images = keras.ops.cast(images, "float32")
        return images, images


@pytest.mark.every_backend
def test_embed_takes_batches_of_any_kind():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return (toys.images()[8 * index : 8 * index + 8],)

    np.testing.assert_array_equal(
        kv.embed(None, Batches()), kv.embed(None, toys.images())
    )


@pytest.mark.every_backend
def test_what_is_no_data_of_ours_stays_as_it_is():
    generator = (n for n in range(3))
    assert untuned_inputs(generator) is generator
    assert untuned(toys.images) is toys.images


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="tf.data inside")
@pytest.mark.parametrize(
    "work",
    [
        lambda: toys.vicreg().fit((toys.images(), toys.images()), batch_size=8),
        lambda: toys.vicreg(views=toys.ShiftedViews()).fit(toys.images(), batch_size=8),
        lambda: toys.vicreg(views=toys.ShiftedViews()).fit(stream(), epochs=2),
        lambda: kv.embed(toys.encoder(), toys.images()),
        lambda: kv.embed(toys.encoder(), stream()),
        lambda: kv.linear_probe(
            toys.encoder(), labelled(), labelled(), protocol="sgd", epochs=1
        ),
        lambda: kv.fine_tune(toys.encoder(), labelled(), labelled(), epochs=1),
    ],
    ids=["pairs", "images", "dataset", "embed", "embed dataset", "probe", "fine tune"],
)
def test_nothing_that_keras_iterates_over_is_tuned(work, datasets):
    work()
    assert datasets
    assert all(tuned(dataset) is False for dataset in datasets)


def stream():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(toys.images()).batch(8)


def labelled():
    return toys.images(), np.arange(32) % 2


@needs_tensorflow
def test_what_load_images_gives_is_not_tuned():
    assert tuned(kv.load_images(toys.images(), batch_size=8)) is False
    assert tuned(kv.load_images(stream())) is False
