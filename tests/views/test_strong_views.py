"""`kv.StrongViews`: strongly augmented views, of which the first may be plain."""

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv


@pytest.mark.every_backend
@pytest.mark.parametrize("plain", [True, False])
def test_two_views_of_every_image(plain):
    images = toys.images(16, 12)
    layer = kv.StrongViews(plain, seed=1)
    first, second = map(keras.ops.convert_to_numpy, layer(images))
    assert first.shape == second.shape == images.shape
    assert first.dtype == second.dtype == "float32"
    assert (first == images).all() == plain
    changed = (second != images).any(axis=(1, 2, 3))
    assert changed.mean() > 0.8
    again = kv.StrongViews.from_config(layer.get_config())
    for view, expected in zip(again(images), (first, second), strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(view), expected)
    other = keras.ops.convert_to_numpy(layer(images)[1])
    assert (other != second).any()
    assert layer.compute_output_shape(images.shape) == (images.shape,) * 2


def test_one_image_without_a_batch():
    image = toys.images(1, 12)[0]
    plain, strong = kv.StrongViews(True, seed=0)(image)
    assert tuple(plain.shape) == tuple(strong.shape) == image.shape


def test_in_tf_data():
    tf = pytest.importorskip("tensorflow")
    images = toys.images(16, 12)
    data = tf.data.Dataset.from_tensor_slices(images).batch(8)
    pairs = list(data.map(kv.StrongViews(True, seed=0)))
    assert len(pairs) == 2
    np.testing.assert_array_equal(pairs[1][0], images[8:])
    assert (pairs[0][1].numpy() != images[:8]).any()
