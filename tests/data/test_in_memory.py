"""Tensors of every library and lists of images are what arrays are."""

import keras
import numpy as np
import pytest
import toys
from photographs import photograph

import keras_vicreg as kv
from keras_vicreg.data.in_memory import as_array, as_images
from keras_vicreg.data.inputs import check_inputs

IMAGES = toys.images(16)
LABELS = np.arange(16) % 2
KINDS = {
    "a tensor": keras.ops.convert_to_tensor,
    "a float tensor": lambda x: keras.ops.convert_to_tensor(x.astype("float32")),
    "bfloat16": lambda x: keras.ops.cast(x, "bfloat16"),
    "a variable": lambda x: keras.Variable(x, dtype="float32"),
    "a list": list,
    "a list of tensors": lambda x: [keras.ops.convert_to_tensor(each) for each in x],
}


@pytest.mark.every_backend
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_the_array(kind):
    given = KINDS[kind](IMAGES)
    found = as_images(given)
    assert type(found) is np.ndarray
    # bfloat16 has eight bits for the whole numbers up to 256.
    np.testing.assert_array_equal(found, IMAGES)
    encoder = toys.encoder()
    expected = kv.embed(encoder, IMAGES)
    np.testing.assert_allclose(kv.embed(encoder, given), expected, rtol=1e-5)
    np.testing.assert_array_equal(kv.load_images(given), IMAGES)


@pytest.mark.every_backend
def test_training_on_them_is_training_on_the_array():
    tensor = keras.ops.convert_to_tensor(IMAGES)
    views = toys.ShiftedViews()
    losses = []
    for layer, x in ((views, IMAGES), (views, tensor), (None, views(tensor))):
        model = toys.vicreg(views=layer)
        history = model.fit(x, batch_size=8, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] == pytest.approx(losses[0], rel=1e-5)
    for given in (tensor, (tensor, tensor), list(IMAGES), list(map(list, IMAGES))):
        found = check_inputs(given, 3)
        pair = isinstance(given, tuple)
        np.testing.assert_array_equal(found, (IMAGES, IMAGES) if pair else IMAGES)


@pytest.mark.every_backend
def test_evaluation_takes_labels_of_any_kind_too():
    tensor, labels = map(keras.ops.convert_to_tensor, (IMAGES, LABELS))
    encoder = toys.encoder()
    expected = kv.knn(encoder, (IMAGES, LABELS), (IMAGES, LABELS), k=3)
    for pair in ((tensor, labels), (list(IMAGES), LABELS.tolist())):
        found = kv.knn(encoder, pair, pair, k=3)
        np.testing.assert_array_equal(found.predictions, expected.predictions)
    pair = (tensor, labels)
    assert kv.linear_probe(encoder, pair, pair, regularization=1e-6).top1 > 0.5
    assert kv.fine_tune(encoder, pair, pair, epochs=1).top1_by_seed
    assert kv.load_images(pair, labels=True)[1].tolist() == LABELS.tolist()
    watch = kv.callbacks.OnlineKNN(pair, pair, k=3)
    np.testing.assert_array_equal(watch.images[:16], IMAGES)


def test_tensors_of_other_libraries_than_the_backends():
    tf, torch = pytest.importorskip("tensorflow"), pytest.importorskip("torch")
    jnp = pytest.importorskip("jax.numpy")
    for given in (
        tf.Variable(IMAGES.astype("float32")),
        torch.tensor(IMAGES),
        torch.tensor(IMAGES).bfloat16(),
        torch.tensor(IMAGES).float().requires_grad_(),
        torch.tensor(np.moveaxis(IMAGES, -1, 1)).permute(0, 2, 3, 1),
        jnp.asarray(IMAGES),
    ):
        np.testing.assert_array_equal(as_array(given), IMAGES)
    batches = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(IMAGES), torch.tensor(LABELS)),
        batch_size=8,
    )
    encoder = toys.encoder()
    expected = kv.embed(encoder, IMAGES)
    np.testing.assert_allclose(kv.embed(encoder, batches), expected, rtol=1e-5)
    assert kv.knn(encoder, batches, (IMAGES, LABELS), k=1).top1 == 1
    history = toys.vicreg(views=toys.ShiftedViews()).fit(batches, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_lists_of_pillow_images_become_rgb():
    pictures = [photograph(seed) for seed in range(3)]
    expected = np.stack([np.asarray(each) for each in pictures])
    mixed = [pictures[0], pictures[1].convert("RGBA"), pictures[2]]
    np.testing.assert_array_equal(as_images(mixed), expected)
    palette = as_images([pictures[0].quantize(64)])[0]
    np.testing.assert_array_equal(
        palette, np.asarray(pictures[0].quantize(64).convert("RGB"))
    )


def test_lists_that_cannot_be_one_array_are_refused():
    model = toys.vicreg(views=toys.ShiftedViews())
    for take in (
        lambda x: model.fit(x, batch_size=2, verbose=0),
        lambda x: kv.embed(model, x),
        lambda x: kv.knn(model, (x, [0, 1]), (x, [0, 1]), k=1),
    ):
        with pytest.raises(ValueError, match=r"`kv\.load_images\(images, image_size\)"):
            take([IMAGES[0], IMAGES[0, :5]])
    with pytest.raises(ValueError, match=r"a pair \(images, labels\) the images"):
        kv.embed(model, (IMAGES, LABELS))
    with pytest.raises(ValueError, match=r"must hold 2 batches of images.*3"):
        model.fit((IMAGES, IMAGES, IMAGES), batch_size=8, verbose=0)
    for empty in ([], IMAGES[:0]):
        with pytest.raises(ValueError, match="at least one"):
            kv.embed(model, empty)
