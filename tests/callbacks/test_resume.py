"""Checkpoints: whole or not there, and refused where they do not fit."""

import keras
import pytest
import toys

import keras_vicreg as kv


def fit(folder, epochs=1, initial_epoch=None, **options):
    resume = kv.callbacks.Resume(folder)
    toys.vicreg(views=toys.ShiftedViews(), **options).fit(
        toys.images(32),
        batch_size=16,
        epochs=epochs,
        initial_epoch=resume.epoch if initial_epoch is None else initial_epoch,
        callbacks=[resume],
        verbose=0,
    )
    return resume


def test_only_the_newest_checkpoint_is_kept(tmp_path):
    resume = fit(tmp_path / "a" / "b", epochs=3)
    assert resume.epoch == 3
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == [
        "epoch-0003.npz"
    ]


def test_the_first_epoch_must_follow_the_checkpoint(tmp_path):
    fit(tmp_path, epochs=2)
    with pytest.raises(ValueError, match=r"`initial_epoch` must be 2.*initial_epoch=0"):
        fit(tmp_path, epochs=3, initial_epoch=0)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    fit(tmp_path)
    with pytest.raises(ValueError, match="must have been made by this model"):
        fit(tmp_path, epochs=2, batch_norm=False)


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_a_damaged_checkpoint_is_refused(kept, tmp_path):
    fit(tmp_path)
    file = tmp_path / "epoch-0001.npz"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="must be a whole file"):
        fit(tmp_path, epochs=2)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="`folder` must be a folder"):
        kv.callbacks.Resume(tmp_path / "file")


@pytest.mark.every_backend
def test_the_order_of_an_interrupted_fit_goes_on_whatever_the_seed(tmp_path):
    """Unlike the state, the seed of Keras is another one in another process."""
    images = toys.images(40)

    def orders(folder, epochs, seed):
        seen = []
        resume = kv.callbacks.Resume(folder)
        model = toys.vicreg(views=toys.ShiftedViews())
        look = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: seen.append(model.batches.order.copy())
        )
        keras.utils.set_random_seed(seed)
        model.fit(
            images,
            batch_size=16,
            epochs=epochs,
            initial_epoch=resume.epoch,
            callbacks=[resume, look],
            verbose=0,
        )
        assert model.batches is None
        return [order.tolist() for order in seen]

    whole = orders(tmp_path / "whole", 3, seed=1)
    parts = orders(tmp_path / "parts", 1, seed=1), orders(tmp_path / "parts", 3, seed=2)
    assert parts[0] + parts[1] == whole
    assert len({tuple(order) for order in whole}) == 3
