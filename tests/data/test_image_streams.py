"""Images as a `tf.data.Dataset`: complete batches, an order of each epoch."""

import sys
import warnings

import numpy as np
import pytest
from photographs import photograph, write
from PIL import Image

import keras_vicreg as kv

needs_tensorflow = pytest.mark.skipif(
    "tensorflow" not in sys.modules, reason="tf.data is TensorFlow's"
)


def numbered(count):
    """Images that carry their own number, to be followed through a shuffle."""
    images = np.zeros((count, 4, 4, 3), "uint8")
    images += np.arange(count, dtype="uint8")[:, None, None, None]
    return images, np.arange(count)


@needs_tensorflow
def test_train_stream_is_shuffled_complete_batches_each_epoch_its_own():
    def epochs(seed):
        stream = kv.load_images(numbered(10), labels=True, batch_size=4, seed=seed)
        assert stream.cardinality() == 2
        assert stream.element_spec[0].shape == (4, 4, 4, 3)
        assert stream.element_spec[0].dtype == "uint8"
        return [[(x.numpy(), y.numpy()) for x, y in stream] for _ in range(2)]

    runs = [epochs(seed) for seed in (1, 1, 2)]
    orders = [[np.concatenate([y for _, y in e]).tolist() for e in r] for r in runs]
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1] != orders[2][1]
    for order in orders[0]:
        assert len(order) == len(set(order)) == 8
    for images, labels in runs[0][0]:
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)


@needs_tensorflow
def test_other_streams_are_whole_and_in_order(labelled):
    stream = kv.load_images(labelled, 16, split="all", batch_size=4)
    batches = [images.numpy() for images in stream]
    assert [len(images) for images in batches] == [4, 4, 1]
    whole = kv.load_images(labelled, 16, split="all")
    np.testing.assert_array_equal(np.concatenate(batches), whole)


@needs_tensorflow
def test_a_stream_leaves_damaged_files_out_and_keeps_its_steps(tmp_path):
    for number in range(8):
        write(tmp_path / f"{number}.png", Image.new("RGB", (4, 4), (number,) * 3))
    (tmp_path / "0.png").write_bytes(b"damaged")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = kv.load_images(tmp_path, batch_size=4)
        epochs = [[images.numpy() for images in stream] for _ in range(3)]
    for seen in epochs:
        assert [images.shape for images in seen] == [(4, 4, 4, 3)] * 2
        seen = np.concatenate(seen)[:, 0, 0, 0]
        assert set(seen) == set(range(1, 8))
    skipped = [str(w.message) for w in caught if "unreadable" in str(w.message)]
    assert len(skipped) == 1
    assert "'0.png'" in skipped[0]


@needs_tensorflow
def test_a_stream_trains_a_model(labelled):
    import keras

    model = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    stream = kv.load_images(labelled, 8, labels=True, batch_size=2)
    history = model.fit(stream, epochs=2, verbose=0).history
    assert len(history["loss"]) == 2


@needs_tensorflow
def test_batch_size_fits_the_data():
    for bad in (0, 11, 2.5):
        with pytest.raises(ValueError, match=r"`batch_size` must be.*for 10 images"):
            kv.load_images(numbered(10), batch_size=bad)


@needs_tensorflow
def test_a_dataset_is_passed_through_and_resized_as_pillow_does_it():
    import tensorflow as tf

    smooth = np.stack([np.asarray(photograph(seed, (50, 70))) for seed in range(3)])
    pairs = tf.data.Dataset.from_tensor_slices((smooth, [5, 6, 7]))
    images, labels = next(iter(kv.load_images(pairs, 20, labels=True, batch_size=3)))
    assert labels.numpy().tolist() == [5, 6, 7]
    expected = kv.load_images(smooth, 20)
    assert np.abs(images.numpy() - np.float64(expected)).max() <= 2
    batched = kv.load_images(pairs.batch(2), batch_size=3)
    np.testing.assert_array_equal(next(iter(batched)), smooth)
    whole = kv.load_images(pairs.batch(2), 10, split="test")
    assert [len(images) for images in whole] == [2, 1]
    with pytest.raises(ValueError, match=r"a tf\.data\.Dataset of pairs"):
        kv.load_images(pairs.map(lambda image, label: image), labels=True)
    with pytest.raises(ValueError, match="must give images"):
        kv.load_images(tf.data.Dataset.range(3))
