"""Batches that are too small for the loss are left out, of every kind of data."""

import warnings

import keras
import numpy as np
import pytest
import toys

from keras_vicreg.data.complete_batches import complete_batches


def numbered(samples):
    """Images whose pixels are their number."""
    return np.zeros((samples, 8, 8, 3), "uint8") + np.arange(
        samples, dtype="uint8"
    ).reshape(-1, 1, 1, 1)


class Indexed(keras.utils.PyDataset):
    def __init__(self, images, batch_size):
        super().__init__()
        self.images, self.batch_size, self.epochs = images, batch_size, 0

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        return self.images[start : start + self.batch_size], np.zeros(1)

    def on_epoch_end(self):
        self.epochs += 1


def dataset(images, batch_size):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(images).batch(batch_size)


def of_unknown_length(images, batch_size):
    return dataset(images, batch_size).filter(lambda batch: True)


def labelled(images, batch_size):
    return dataset(images, batch_size).map(lambda x: (x, x[:, 0, 0, 0]))


def generator(images, batch_size):
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size], np.zeros(1)


KINDS = [dataset, of_unknown_length, labelled, Indexed, generator]


def images_in(batches):
    if isinstance(batches, keras.utils.PyDataset):
        batches = [batches[index] for index in range(len(batches))]
    parts = [b[0] if isinstance(b, tuple) else b for b in batches]
    return [np.asarray(part)[:, 0, 0, 0].tolist() for part in parts]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("samples", "batch_size"), [(9, 4), (11, 4), (8, 4), (3, 4)])
def test_incomplete_batches_are_left_out(kind, samples, batch_size):
    whole = samples - samples % batch_size or samples
    kept = complete_batches(kind(numbered(samples), batch_size))
    size = min(batch_size, samples)
    expected = np.arange(whole).reshape(-1, size).tolist()
    assert images_in(kept) == expected


def test_batches_of_a_known_size_are_taken_as_they_are():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices(numbered(9)).batch(4, drop_remainder=True)
    assert complete_batches(data) is data


def test_another_dataset_ends_its_epochs_all_the_same():
    data = Indexed(numbered(9), 4)
    kept = complete_batches(data)
    assert len(kept) == 2
    kept.on_epoch_end()
    assert data.epochs == 1


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_one_image_are_refused(kind):
    with pytest.raises(ValueError, match=r"at least 2 images.*Received: batches of 1"):
        images_in(complete_batches(kind(numbered(3), 1)))


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_loader_must_leave_them_out_itself(drop_last):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.zeros(9, 8, 8, 3))
    make = torch.utils.data.DataLoader
    assert complete_batches(make(data, 3)) is not None
    loader = make(data, 4, drop_last=drop_last)
    if drop_last:
        assert complete_batches(loader) is loader
    else:
        with pytest.raises(ValueError, match=r"drop_last=True.*batches of 4, 9 images"):
            complete_batches(loader)


@pytest.mark.every_backend
@pytest.mark.parametrize("kind", [dataset, Indexed])
def test_fit_is_that_of_the_complete_batches(kind):
    """One image too many changes nothing, and nothing is NaN."""
    results = []
    for samples in (16, 17):
        model = toys.vicreg(views=toys.ShiftedViews())
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Your input ran out of data")
            model.fit(kind(toys.images(17)[:samples], 8), shuffle=False, verbose=0)
        assert all(np.isfinite(w).all() for w in model.get_weights())
        results.append(model.get_weights())
    for one, two in zip(*results):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("kind", [lambda x, _: x, dataset, Indexed])
def test_evaluate_and_validation_leave_them_out(kind):
    images = toys.images(35)
    model = toys.vicreg(views=toys.ShiftedViews())
    options = {} if kind in (dataset, Indexed) else {"batch_size": 16}
    logs = [
        model.evaluate(
            kind(images[:samples], 16), return_dict=True, verbose=0, **options
        )
        for samples in (32, 33, 35)
    ]
    assert np.isfinite(list(logs[0].values())).all()
    for other in logs[1:]:
        assert other == pytest.approx(logs[0])
    options = {"validation_batch_size": 16} if options else {}
    history = model.fit(
        images[:32],
        batch_size=16,
        epochs=2,
        validation_data=kind(images[:33], 16),
        verbose=0,
        **options,
    ).history
    after = model.evaluate(images[:32], batch_size=16, return_dict=True, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(after["loss"], rel=1e-5)


@pytest.mark.every_backend
def test_fewer_images_than_a_batch_are_evaluated_together():
    model = toys.vicreg(views=toys.ShiftedViews())
    images = toys.images(20)
    one, two = (
        model.evaluate(images, verbose=0, return_dict=True, **options)
        for options in ({}, {"batch_size": 20})
    )
    assert one == pytest.approx(two)
    with pytest.raises(ValueError, match="batch_size=1, 1 images"):
        model.evaluate(images[:1], verbose=0)


def test_pieces_must_divide_the_batches_of_a_dataset():
    model = toys.vicreg(views=toys.ShiftedViews(), microbatch_size=3)
    for kind in (dataset, Indexed, generator):
        with pytest.raises(ValueError, match=r"`microbatch_size` must.*8"):
            model.fit(kind(toys.images(16), 8), verbose=0)
