"""Checkpoints: whole or not there, and refused where they do not fit."""

import keras
import numpy as np
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


class Killed(Exception):
    """What ends a process, between two steps."""


def dies_in(epoch):
    """A callback that raises `Killed` after the first step of an epoch."""
    begun = []

    def after_a_step(batch, logs):
        if begun[-1] == epoch:
            raise Killed

    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda number, logs: begun.append(number),
        on_train_batch_end=after_a_step,
    )


def scaled(optimizer):
    """One that doubles its scale of the loss after every 2 steps."""
    return keras.optimizers.LossScaleOptimizer(
        optimizer, initial_scale=256.0, dynamic_growth_steps=2
    )


OPTIMIZERS = {
    "lars": lambda: kv.LARS(kv.warmup_cosine(0.5, 8, 2), weight_decay=1e-3),
    "sgd": lambda: keras.optimizers.SGD(kv.warmup_cosine(0.05, 8, 2), 0.9),
    "adamw": lambda: keras.optimizers.AdamW(0.01, use_ema=True),
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True, global_clipnorm=1.0),
    "lamb": lambda: keras.optimizers.Lamb(0.01),
    "scaled lars": lambda: scaled(OPTIMIZERS["lars"]()),
    "scaled adamw": lambda: scaled(OPTIMIZERS["adamw"]()),
}
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "bfloat16")
SLOW = [pytest.mark.slow]
TELLING = {
    ("lars", "mixed_float16"): [],
    ("adamw", "bfloat16"): [pytest.mark.slow_elsewhere],
}


@pytest.fixture
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("optimizer", "policy"),
    [
        pytest.param(optimizer, policy, marks=TELLING.get((optimizer, policy), SLOW))
        for optimizer in OPTIMIZERS
        for policy in POLICIES
    ],
    indirect=["policy"],
)
def test_every_state_is_that_of_a_run_without_interruption(optimizer, policy, tmp_path):
    """And of one without checkpoints: to keep them changes nothing."""

    def run(*callbacks, **options):
        model = toys.vicreg(
            views=toys.ShiftedViews(), optimizer=OPTIMIZERS[optimizer]()
        )
        keras.utils.set_random_seed(2)  # of the order
        options = {"batch_size": 16, "epochs": 3, "verbose": 0, **options}
        history = model.fit(toys.images(32), callbacks=[*callbacks], **options).history
        variables = [*model.variables, *model.optimizer.variables]
        state = [(v.name, keras.ops.convert_to_numpy(v)) for v in variables]
        return history["loss"], state

    losses, state = run()
    with pytest.raises(Killed):
        run(kv.callbacks.Resume(tmp_path), dies_in(epoch=2))
    resume = kv.callbacks.Resume(tmp_path)
    assert resume.epoch == 2
    rest, resumed = run(resume, initial_epoch=2)
    np.testing.assert_array_equal(rest, losses[2:])
    for (name, value), (_, other) in zip(state, resumed, strict=True):
        assert value.dtype == other.dtype
        # As float64, or NaN of bfloat16, which Lamb has there, would not equal itself.
        pair = other.astype("float64"), value.astype("float64")
        np.testing.assert_array_equal(*pair, err_msg=name)
    scales = [value for name, value in state if "dynamic_scale" in name]
    assert len(scales) == (policy == "mixed_float16" or "scaled" in optimizer)
    assert all(scale == 256 * 2**3 for scale in scales if "scaled" in optimizer)
