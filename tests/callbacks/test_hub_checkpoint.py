"""Publishing while training, which takes no notice."""

import time
import warnings

import keras
import preset_toys
import pytest
from hub_checks import HANDLE, REPO, assert_close

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.callbacks.hub_checkpoint import HubCheckpoint

pytest_plugins = ["hub_fixtures"]


class Epochs(keras.callbacks.Callback):
    """Counts epochs and their longest pause."""

    def on_train_begin(self, logs=None):
        self.count, self.ends = 0, [time.perf_counter()]

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        self.ends.append(time.perf_counter())


def train(callback, epochs=3):
    model = preset_toys.vicreg()
    model.compile("sgd", run_eagerly=True)
    pairs = preset_toys.images(8), preset_toys.images(8, seed=1)
    epochs_seen = Epochs()
    model.fit(
        pairs,
        batch_size=8,
        epochs=epochs,
        verbose=0,
        callbacks=[epochs_seen, callback],
    )
    assert epochs_seen.count == epochs
    return model


def test_checkpoints_are_pushed(server):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = train(HubCheckpoint(HANDLE, license="mit"))
    loaded = zoo.from_preset(HANDLE, model_class=kv.VICReg)
    assert_close(preset_toys.outputs(loaded), preset_toys.outputs(model))
    assert b"license: mit" in server.files(REPO)["README.md"]
    assert "config.json" in server.files(REPO)
    assert 3 <= len(server.repositories[REPO].commits) <= 5


def test_failures_of_checkpoints_are_warnings(server, monkeypatch):
    server.fault("POST", "/commit/", 403, times=1000)
    with pytest.warns(UserWarning, match="not pushed: The token may not"):
        train(HubCheckpoint(HANDLE))
    monkeypatch.setattr(
        "keras_vicreg.callbacks.hub_checkpoint.save_to_preset", (1).__truediv__
    )
    with pytest.warns(UserWarning, match="not saved"):
        train(HubCheckpoint(HANDLE))


def test_training_does_not_wait_for_the_hub(server):
    server.fault("POST", "/api/repos/create", "stall", times=1000)
    start = time.perf_counter()
    with pytest.warns(UserWarning, match=r"still uploading after 0\.5 seconds"):
        train(HubCheckpoint(HANDLE, wait=0.5))
    assert time.perf_counter() - start < 30
    assert server.count("POST", "/api/repos/create") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"handle": "user/toy"}, "`handle` must be"),
        ({"handle": HANDLE, "every": 0}, "`every` must be"),
        ({"handle": HANDLE, "wait": -1}, "`wait` must be"),
    ],
)
def test_arguments_of_checkpoints(options, message):
    with pytest.raises(ValueError, match=message):
        HubCheckpoint(**options)
