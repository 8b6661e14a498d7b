"""Callbacks that watch a run: what they log is right, and the run takes no notice."""

import csv
import random

import keras
import numpy as np
import pytest
import toys

from keras_vicreg.callbacks import OnlineKNN, OnlineLinearProbe, Quality
from keras_vicreg.evaluation import embed, knn, linear_probe, quality
from keras_vicreg.evaluation.subsets import evenly
from keras_vicreg.runs.folder import HistoryFile, RunFolder

LOGGED = {"knn_top1", "linear_top1", "rankme", "std_mean", "std_min", "mean_cosine"}


def labelled(count, seed):
    return toys.images(count, seed=seed), np.arange(count) % 3


def watchers():
    train, validation = labelled(60, 1), labelled(30, 2)
    return [
        OnlineKNN(train, validation, k=5),
        OnlineLinearProbe(train, validation),
        Quality(train[0]),
    ]


def fitted(callbacks):
    """A model after two epochs with random views, and its history."""
    model = toys.vicreg(views=toys.ShiftedViews())
    history = model.fit(
        toys.images(32), batch_size=8, epochs=2, verbose=0, callbacks=callbacks
    )
    return model, history.history


@pytest.mark.every_backend
def test_they_log_what_the_functions_give_and_the_run_takes_no_notice():
    model, history = fitted(watchers())
    alone, plain = fitted([])
    assert set(history) - set(plain) == LOGGED
    for name, values in plain.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-6, err_msg=name)
    for watched, unwatched in zip(model.get_weights(), alone.get_weights()):
        np.testing.assert_allclose(watched, unwatched, rtol=1e-5, atol=1e-7)
    train, validation = labelled(60, 1), labelled(30, 2)
    assert history["knn_top1"][-1] == knn(model, train, validation, k=5).top1
    probe = linear_probe(model, train, validation, regularization=0.01)
    assert history["linear_top1"][-1] == probe.top1
    health = quality(embed(model, train[0]))
    for name in ("rankme", "std_mean", "std_min", "mean_cosine"):
        assert history[name][-1] == pytest.approx(getattr(health, name), rel=1e-4)
    assert len(set(history["rankme"])) == 2


@pytest.mark.every_backend
def test_no_weight_no_statistic_and_no_random_state_moves():
    model = toys.vicreg()
    before = [keras.ops.convert_to_numpy(v).copy() for v in model.variables]
    keras.utils.set_random_seed(3)
    expected = random.random(), keras.random.uniform((2,))
    keras.utils.set_random_seed(3)
    logs = {}
    for callback in watchers():
        callback.set_model(model)
        callback.on_epoch_end(0, logs)
    assert set(logs) == LOGGED
    assert random.random() == expected[0]
    drawn = (keras.random.uniform((2,)), expected[1])
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, drawn))
    for old, variable in zip(before, model.variables):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), old)


def test_history_csv_holds_them(tmp_path):
    folder = RunFolder(tmp_path)
    _, history = fitted([*watchers(), HistoryFile(folder)])
    with open(folder.history, newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) >= LOGGED
    for name in LOGGED:
        stored = [float(row[name]) for row in rows]
        np.testing.assert_allclose(stored, history[name], rtol=1e-5)


def test_they_take_images_evenly_and_at_most_so_many():
    train, validation = labelled(60, 1), labelled(30, 2)
    watch = OnlineKNN(train, validation, images=7, k=20)
    assert len(watch.images) == 14
    assert len(watch.train_labels) == len(watch.validation_labels) == 7
    assert watch.k == 7
    rows = [0, 10, 20, 30, 39, 49, 59]
    np.testing.assert_array_equal(watch.images[:7], train[0][rows])
    assert len(Quality(train[0], count=9).images) == 9
    assert len(Quality(train[0]).images) == 60
    assert [len(part) for part in evenly(train, 1)] == [1, 1]
    for count in (0, 2.5):
        with pytest.raises(ValueError, match="number of images must be a positive"):
            evenly(train, count)


def test_collapse_shows():
    model = toys.vicreg()
    callback, logs = Quality(toys.images(40)), {}
    callback.set_model(model)
    callback.on_epoch_end(0, logs)
    kernel = model.encoder.layers[2].kernel
    kernel.assign(np.zeros(kernel.shape))
    model.encoder.layers[3].beta.assign(np.ones(6))
    collapsed = {}
    callback.on_epoch_end(1, collapsed)
    assert collapsed["rankme"] < 1.01 < logs["rankme"]
    assert collapsed["std_mean"] < 1e-6 < logs["std_mean"]
    assert collapsed["mean_cosine"] == pytest.approx(1, abs=1e-5)
