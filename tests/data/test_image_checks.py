"""Images of another range or layout are refused wherever they come in."""

import pathlib
import re
import warnings

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg.data.image_checks import check_images
from keras_vicreg.data.inputs import check_inputs

IMAGES = toys.images(16)
LABELS = np.arange(16) % 2
FRACTIONS = (IMAGES / 255).astype("float32")
SEEN = {
    "0..1": FRACTIONS,
    "0..1, half": FRACTIONS.astype("float16"),
    "0..1, dark": FRACTIONS / 9,
    "0..1, resized": FRACTIONS * 1.2 - 0.1,
    "-1..1": FRACTIONS * 2 - 1,
    "-0.5..0.5": FRACTIONS - 0.5,
    "standardized": (FRACTIONS - 0.45) / 0.22,
    "16 bits": IMAGES.astype("uint16") * 257,
    "12 bits": IMAGES.astype("int32") * 16,
    "signed": IMAGES.astype("int16") - 128,
    "a bicubic resize": IMAGES * 1.1 - 12.0,
    "true and false": IMAGES > 127,
}


class Batched(keras.utils.PyDataset):
    """Batches of 8, with labels where they are wanted."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0]) // 8

    def __getitem__(self, index):
        return tuple(array[8 * index : 8 * index + 8] for array in self.arrays)


def model():
    return toys.vicreg(views=kv.TwoViews(8, "vicreg_cifar", seed=0))


# What takes images alone, and what takes them with labels, by name.
ALONE = {
    "fit": lambda x: model().fit(x, verbose=0),
    "evaluate": lambda x: model().evaluate(x, verbose=0),
    "validation": lambda x: model().fit(
        IMAGES, batch_size=8, validation_data=x, verbose=0
    ),
    "embed": lambda x: kv.embed(toys.encoder(), x),
}
LABELLED = {
    "knn": lambda xy: kv.knn(toys.encoder(), (IMAGES, LABELS), xy),
    "probe": lambda xy: kv.linear_probe(toys.encoder(), xy, xy),
    "probe, sgd": lambda xy: kv.linear_probe(toys.encoder(), xy, xy, "sgd"),
    "fine-tuning": lambda xy: kv.fine_tune(toys.encoder(), xy, xy),
    "clustering": lambda xy: kv.clustering(toys.encoder(), xy),
    "retrieval": lambda xy: kv.retrieval(toys.encoder(), xy),
}
ARRAYS = {
    "load_images": lambda x: kv.load_images(x, 4),
    "quality": lambda x: kv.callbacks.Quality(x),
    "online kNN": lambda x: kv.callbacks.OnlineKNN((x, LABELS), (x, LABELS)),
    "views": lambda x: kv.TwoViews(8)(x),
    "pairs": lambda x: toys.vicreg().fit((x, x), batch_size=8, verbose=0),
}


def entrances(images):
    """Every entrance with these images, as an array and as a dataset, by name."""
    for name, enter in {**ALONE, **ARRAYS}.items():
        yield name, lambda enter=enter: enter(images)
    for name, enter in ALONE.items():
        yield f"{name}, dataset", lambda enter=enter: enter(Batched(images))
    for name, enter in LABELLED.items():
        yield name, lambda enter=enter: enter((images, LABELS))
        yield (
            f"{name}, dataset",
            lambda enter=enter: enter(Batched(images, LABELS)),
        )


def refusal(enter) -> str:
    """What the error of an entrance says, or that there was none."""
    try:
        enter()
    except ValueError as error:
        return str(error)
    return "nothing"


@pytest.mark.parametrize("name", SEEN)
def test_another_range_is_refused(name):
    with pytest.raises(ValueError, match=r"0\.\.255.*Received: .*(from|bool)"):
        check_images(SEEN[name])


@pytest.mark.every_backend
@pytest.mark.parametrize("name", ["0..1", "12 bits"])
def test_another_range_is_refused_at_every_entrance(name):
    for entrance, enter in entrances(SEEN[name]):
        assert "Images must be 0..255" in refusal(enter), entrance


@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        IMAGES // 250,  # as good as black
        IMAGES * 0,
        (IMAGES // 80).astype("float32"),  # dark, of whole numbers
        FRACTIONS * 3,  # dark, of fractions
        np.zeros(IMAGES.shape, "float32"),
        IMAGES.astype("float64") + 0.4,  # rounds to 0..255
        IMAGES.astype("float16"),
        IMAGES.astype("int64"),
        IMAGES.astype("uint16"),
        toys.images(4)[..., :1],
        np.repeat(IMAGES, 5, axis=-1),
    ],
)
def test_what_can_be_0_to_255_is_taken_without_a_word(images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_images(images)


@pytest.mark.parametrize(
    "images",
    [
        (IMAGES > 127).astype("float32"),
        (IMAGES > 127).astype("int64"),
        FRACTIONS * 1.2,  # brightened, or all but black
    ],
)
def test_what_is_all_but_black_gives_a_warning(images):
    with pytest.warns(UserWarning, match=r"no value is above 1(\.2)?: multiply"):
        check_images(images)


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.moveaxis(IMAGES, -1, 1), r"np\.moveaxis\(images, 1, -1\)"),
        (IMAGES[..., :1], r"3 channels.*`kv\.load_images\(images\)` makes RGB"),
        (np.concatenate([IMAGES] * 5, axis=-1), r"3 channels.*\(16, 8, 8, 15\)"),
        (IMAGES[0], r"single ones become batches.*shape \(8, 8, 3\)"),
    ],
    ids=["channels first", "grey", "bands", "single"],
)
def test_another_layout_is_refused(images, message):
    entrances = {**ALONE, "knn": lambda x: LABELLED["knn"]((x, LABELS[: len(x)]))}
    for name, enter in entrances.items():
        assert re.search(message, refusal(lambda enter=enter: enter(images))), name


@pytest.mark.every_backend
def test_an_encoder_of_other_channels_takes_them():
    inputs = keras.Input((8, 8, 5))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    bands = np.repeat(IMAGES[..., :1], 5, axis=-1)
    assert kv.embed(keras.Model(inputs, pooled), bands).shape == (16, 5)
    with pytest.raises(ValueError, match=r"must have 5 channels.*\(16, 8, 8, 3\)"):
        kv.embed(keras.Model(inputs, pooled), IMAGES)


@pytest.mark.every_backend
def test_without_an_encoder_any_range_will_do():
    assert kv.knn(None, (FRACTIONS, LABELS), (FRACTIONS, LABELS), k=1).top1 == 1


@pytest.mark.every_backend
def test_the_first_batch_of_a_generator_is_not_lost():
    def batches():
        for start in (0, 8):
            yield (IMAGES[start : start + 8],)

    seen = [batch[0] for batch in check_inputs(batches(), 3)]
    np.testing.assert_array_equal(np.concatenate(seen), IMAGES)
    with pytest.raises(ValueError, match=r"0\.\.255"):
        model().fit(((batch[0] / 255,) for batch in batches()), verbose=0)


def test_a_pipeline_is_looked_at_unless_it_says_enough():
    tf = pytest.importorskip("tensorflow")
    read = []

    def dataset(images):
        def batches():
            read.append(len(images))
            yield images

        signature = tf.TensorSpec((None, *images.shape[1:]), images.dtype)
        return tf.data.Dataset.from_generator(batches, output_signature=signature)

    check_inputs(dataset(IMAGES), 3)
    assert read == []
    check_inputs(dataset(IMAGES.astype("float32")), 3)
    assert read == [16]
    for images in (FRACTIONS, IMAGES.astype("uint16") * 257):
        with pytest.raises(ValueError, match=r"Images must be 0\.\.255"):
            model().fit(dataset(images), verbose=0)
    with pytest.raises(ValueError, match=r"3 channels on the last axis.*moveaxis"):
        model().fit(dataset(np.moveaxis(IMAGES, -1, 1)), verbose=0)


def test_batches_of_other_things_are_refused_with_a_way_out():
    tf = pytest.importorskip("tensorflow")
    slices = tf.data.Dataset.from_tensor_slices
    dicts = slices({"image": IMAGES, "label": LABELS})
    encoder = toys.encoder()
    for data in (dicts.batch(8), dicts):
        for enter in (
            lambda data=data: model().fit(data, verbose=0),
            lambda data=data: model().evaluate(data, verbose=0),
            lambda data=data: kv.embed(encoder, data),
            lambda data=data: kv.knn(encoder, data, data),
            lambda data=data: kv.fine_tune(encoder, data, data),
        ):
            with pytest.raises(ValueError, match=r"as_supervised=True.*'image'"):
                enter()
    for enter in (ALONE["fit"], ALONE["embed"]):
        with pytest.raises(ValueError, match=r"become batches by .*batch\(256\)"):
            enter(slices(IMAGES))
    for rows in IMAGES, IMAGES.reshape(16, -1):  # the pixels themselves: any shape, yet
        for enter in (
            lambda data: kv.embed(None, data),
            lambda data: kv.embed(None, iter(data)),
        ):
            with pytest.raises(ValueError, match=r"become batches by .*batch\(256\)"):
                enter(slices(rows))
        assert len(kv.embed(None, slices(rows).batch(8))) == 16
    ragged = tf.data.Dataset.from_generator(
        lambda: (IMAGES[0, :size] for size in (5, 8)),
        output_signature=tf.TensorSpec((None, 8, 3), "uint8"),
    )
    with pytest.raises(ValueError, match="one size: resize them before `batch`"):
        model().fit(ragged.ragged_batch(2), verbose=0)


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("images", "kind"),
    [
        ((IMAGES, LABELS), "a tuple of 2"),
        ({"image": IMAGES}, "a dict of 1"),
        ("sample", "a str"),
        (pathlib.Path("photographs"), "Path"),
        (None, "a NoneType"),
    ],
)
@pytest.mark.parametrize("encoder", [None, toys.encoder])
def test_what_are_no_images_at_all_is_refused(encoder, images, kind):
    with pytest.raises(ValueError, match=f"`images` must be an array .*{kind}"):
        kv.embed(encoder and encoder(), images)


@pytest.mark.every_backend
def test_a_list_of_images_is_embedded_as_an_array_of_them():
    encoder = toys.encoder()
    found = kv.embed(encoder, list(IMAGES))
    np.testing.assert_array_equal(found, kv.embed(encoder, IMAGES))
