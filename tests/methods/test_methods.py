"""What every method must keep to, whatever its loss."""

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv

METHODS = sorted(kv.METHODS)


def make(method, *, views="random", optimizer=None, **options):
    """A compiled model of a method around the tiny encoder, always the same."""
    keras.utils.set_random_seed(0)
    if views == "random":
        views = kv.TwoViews(8, recipe="vicreg_cifar", seed=1)
    head = kv.expander((16, 16))
    model = kv.METHODS[method](toys.encoder(), head, views=views, **options)
    model.compile(optimizer or keras.optimizers.SGD(0.05, 0.9))
    return model


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_fit_reports_every_term_and_changes_the_encoder(method):
    model = make(method)
    before = [numpy(v) for v in model.encoder.trainable_variables]
    history = model.fit(toys.images(40), batch_size=16, epochs=2, verbose=0).history
    assert set(history) == {"loss", "embedding_std", *model.term_weights}
    assert np.isfinite(list(history.values())).all()
    after = [numpy(v) for v in model.encoder.trainable_variables]
    assert all(np.any(a != b) for a, b in zip(after, before))
    assert int(model.optimizer.iterations) == 2 * 2  # 40 images: 8 left out an epoch


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_the_weighted_sum_of_the_terms(method):
    history = make(method).fit(toys.images(32), batch_size=16, verbose=0).history
    weights = make(method).term_weights
    total = sum(weight * history[name][0] for name, weight in weights.items())
    assert history["loss"][0] == pytest.approx(total, rel=1e-5)


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_views_differ_between_steps_and_epochs(method):
    """With no step taken, nothing but chance can change the loss."""
    model = make(method, optimizer=keras.optimizers.SGD(0.0))
    history = model.fit(toys.images(32), batch_size=32, epochs=3, verbose=0).history
    assert len(set(history["loss"])) == 3
    a, b = model.views(toys.images(4))
    assert np.abs(numpy(a) - numpy(b)).max() > 1


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_give_equal_runs(method):
    runs = [
        make(method).fit(toys.images(32), batch_size=16, epochs=2, verbose=0).history
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_gives_equal_embeddings_and_goes_on(method, tmp_path):
    model = make(method)
    model.fit(toys.images(32), batch_size=16, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    x = toys.images(5, seed=1)
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    options = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    goes_on = [
        m.fit(toys.images(32), **options).history["loss"] for m in (loaded, model)
    ]
    assert goes_on[0] == goes_on[1]


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_resumes_as_if_it_had_not_stopped(method, tmp_path):
    def fit(epochs, folder):
        schedule = kv.warmup_cosine(0.05, total_steps=8, warmup_steps=2)
        model = make(method, optimizer=keras.optimizers.SGD(schedule, 0.9))
        resume = kv.callbacks.Resume(folder)
        return model.fit(
            toys.images(32),
            batch_size=16,
            epochs=epochs,
            initial_epoch=resume.epoch,
            callbacks=[resume],
            verbose=0,
        ).history["loss"]

    whole = fit(4, tmp_path / "whole")
    assert whole == fit(2, tmp_path / "parts") + fit(4, tmp_path / "parts")


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_configuration(method):
    model = make(method)
    copy = type(model).from_config(model.get_config())
    assert copy.get_config().keys() == model.get_config().keys()
    assert copy.term_weights == model.term_weights
    assert copy.encoder.count_params() == model.encoder.count_params()
    assert copy.expander.output_shape == model.expander.output_shape


@pytest.mark.every_backend
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("method", METHODS)
def test_mixed_precision(method, precision):
    """Half-width layers, a float32 loss, and no NaN."""
    keras.config.set_dtype_policy(precision)
    try:
        model = make(method)
        history = model.fit(toys.images(32), batch_size=16, epochs=3, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(list(history.values())).all()
    assert keras.backend.standardize_dtype(model(toys.images(2)).dtype) == (
        precision.removeprefix("mixed_")
    )
    assert all(v.dtype == "float32" for v in model.trainable_variables)


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_compiled_or_not(method, jit_compile):
    fixed = toys.ShiftedViews()
    losses = []
    for jit in (jit_compile, None):
        model = make(method, views=fixed)
        model.compile(
            "sgd", **{"run_eagerly": True} if jit is None else {"jit_compile": jit}
        )
        history = model.fit(toys.images(32), batch_size=16, epochs=2, verbose=0)
        losses.append(history.history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_evaluate_and_predict(method):
    model = make(method, views=toys.ShiftedViews())
    x = toys.images(32)
    logs = model.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "embedding_std", *model.term_weights}
    assert model.predict(x, verbose=0).shape == (32, 16)
    a, b = model((x, x))
    assert np.array_equal(numpy(a), numpy(b))
