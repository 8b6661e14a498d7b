"""Images as a `tf.data.Dataset`: complete batches, an order of each epoch."""

import sys
import warnings

import numpy as np
import pytest
import toys
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
def test_a_stream_of_one_readable_file_is_an_error(tmp_path):
    for number in range(8):
        write(tmp_path / f"{number}.png", Image.new("RGB", (4, 4), (number,) * 3))
        if number:
            (tmp_path / f"{number}.png").write_bytes(b"damaged")
    for share, words in ((0.8, "At most 0.8"), (1, "at least 4 must be readable")):
        with pytest.warns(UserWarning, match="Skipped 7"):
            stream = kv.load_images(tmp_path, batch_size=4, max_unreadable=share)
        with pytest.raises(Exception, match=f"{words}.* 8 images, of which 7 could"):
            list(stream)
    with pytest.warns(UserWarning, match="Skipped 7"):
        whole = kv.load_images(tmp_path, batch_size=4, shuffle=False)
    assert [len(images) for images in whole] == [1]


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
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x.astype("float32") + 0.3,
        lambda x: x[..., :1].astype("int64"),
        lambda x: np.concatenate([x, x[..., :1]], axis=-1),
    ],
    ids=["uint8", "floats", "grey", "transparent"],
)
def test_a_dataset_has_the_pixels_of_the_array(change):
    import tensorflow as tf

    smooth = np.stack([np.asarray(photograph(seed, (50, 70))) for seed in range(3)])
    images = change(smooth)
    pairs = tf.data.Dataset.from_tensor_slices((images, [5, 6, 7]))
    for size in (None, 20, (30, 11), (64, 96), np.int64(20)):
        expected = kv.load_images(images, size)
        data = kv.load_images(pairs, size, labels=True, batch_size=3)
        assert data.element_spec[0].shape[1:] == expected.shape[1:]
        found, labels = next(iter(data))
        assert found.dtype == "uint8"
        np.testing.assert_array_equal(found, expected)
        assert labels.numpy().tolist() == [5, 6, 7]
        batched = kv.load_images(pairs.batch(2), size, split="test")
        np.testing.assert_array_equal(np.concatenate([*batched]), expected)


@needs_tensorflow
def test_images_of_a_dataset_may_be_of_several_sizes():
    import tensorflow as tf

    images = [np.asarray(photograph(seed, (40 + seed, 50))) for seed in range(3)]
    data = tf.data.Dataset.from_generator(
        lambda: images, output_signature=tf.TensorSpec((None, None, 3), "uint8")
    )
    found = next(iter(kv.load_images(data, 16, batch_size=3)))
    np.testing.assert_array_equal(found, kv.load_images(images, 16))


@needs_tensorflow
def test_a_dataset_of_dicts():
    import tensorflow as tf

    images, labels = numbered(4)
    rows = {"id": np.arange(4), "image": images, "label": labels}
    data = tf.data.Dataset.from_tensor_slices(rows)
    for given in (data, data.batch(2)):
        found = kv.load_images(given, labels=True, batch_size=4, split="test")
        images_found, labels_found = next(iter(found))
        np.testing.assert_array_equal(images_found, images)
        np.testing.assert_array_equal(labels_found, labels)
        alone = kv.load_images(given, batch_size=4)
        np.testing.assert_array_equal(next(iter(alone)), images)
    two = tf.data.Dataset.from_tensor_slices({"left": images, "right": images})
    for bad in (two, data.map(lambda row: {"id": row["id"]})):
        with pytest.raises(ValueError, match="under one key"):
            kv.load_images(bad)
    with pytest.raises(ValueError, match=r"`labels=True` needs .* pairs"):
        kv.load_images(data.map(lambda row: {"image": row["image"]}), labels=True)


@needs_tensorflow
def test_a_dataset_of_another_range_is_refused():
    import tensorflow as tf

    images = toys.images(20)
    slices = tf.data.Dataset.from_tensor_slices
    bad = [
        (images / 255).astype("float32"),
        (images / 127.5 - 1).astype("float32"),
        images.astype("uint16") * 16,
    ]
    for pixels in bad:
        for data in (slices(pixels), slices(pixels).batch(7)):
            for size in (None, 4):
                with pytest.raises(ValueError, match=r"Images must be 0\.\.255"):
                    kv.load_images(data, size)
    first = slices(np.moveaxis(images, -1, 1))
    for data in (first, first.batch(7)):
        with pytest.raises(ValueError, match=r"1, 3 or 4 channels.*moveaxis"):
            kv.load_images(data, 4)
    dark = (images // 100).astype("float32")
    dark[8:] = images[8:]
    found = next(iter(kv.load_images(slices(dark), 8, batch_size=20)))
    np.testing.assert_array_equal(found, dark)


@needs_tensorflow
def test_a_dataset_keeps_its_order_and_its_batches():
    import tensorflow as tf

    images, labels = numbered(3)
    pairs = tf.data.Dataset.from_tensor_slices((images, labels))
    batched = kv.load_images(pairs.batch(2), batch_size=3)
    np.testing.assert_array_equal(next(iter(batched)), images)
    whole = kv.load_images(pairs.batch(2), 10, split="test")
    assert [len(images) for images in whole] == [2, 1]
    with pytest.raises(ValueError, match=r"a tf\.data\.Dataset of pairs"):
        kv.load_images(pairs.map(lambda image, label: image), labels=True)
    with pytest.raises(ValueError, match="must give images"):
        kv.load_images(tf.data.Dataset.range(3))
