"""What every method must keep to, whatever its loss."""

from pathlib import Path

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg import methods
from keras_vicreg.methods.joint_embedding import JointEmbedding

# These have parts of their own: a momentum copy and a queue, prototypes, neither.
TELLING = {"vicreg", "moco", "swav"}
ELSEWHERE = keras.config.backend() != "tensorflow"  # where programs compile for long


def those_of(telling):
    """All methods, those that tell nothing new with what is slow."""
    return [
        name if name in telling else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(kv.METHODS)
    ]


METHODS = those_of(TELLING if ELSEWHERE else set(kv.METHODS))
LONG = those_of(TELLING)  # several trainings each
LONGEST = those_of({"vicreg"} if ELSEWHERE else TELLING)


def make(method, *, views="random", optimizer=None, **options):
    """A compiled model of a method around the tiny encoder, always the same."""
    if views == "random":
        views = kv.TwoViews(8, recipe="vicreg_cifar", seed=1)
    optimizer = optimizer or keras.optimizers.SGD(0.05, 0.9)
    return toys.method(method, views=views, optimizer=optimizer, **options)


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
@pytest.mark.parametrize("method", LONGEST)
def test_views_differ_between_steps_and_epochs(method):
    """With no step taken, nothing but chance can change the loss."""
    model = make(method, optimizer=keras.optimizers.SGD(0.0))
    history = model.fit(toys.images(32), batch_size=32, epochs=3, verbose=0).history
    assert len(set(history["loss"])) == 3
    a, b = model.views(toys.images(4))
    assert np.abs(numpy(a) - numpy(b)).max() > 1


@pytest.mark.every_backend
@pytest.mark.parametrize("method", LONGEST)
def test_equal_seeds_give_equal_runs(method):
    runs = [
        make(method).fit(toys.images(32), batch_size=16, epochs=2, verbose=0).history
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.every_backend
@pytest.mark.parametrize("method", LONG)
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
@pytest.mark.parametrize("method", LONG)
def test_an_interrupted_run_resumes_as_if_it_had_not_stopped(method, tmp_path):
    """Losses, and every variable: of copies, queues, prototypes and schedules too."""

    def fit(epochs, folder):
        schedule = kv.warmup_cosine(0.05, total_steps=8, warmup_steps=2)
        model = make(method, optimizer=keras.optimizers.SGD(schedule, 0.9))
        resume = kv.callbacks.Resume(folder)
        losses = model.fit(
            toys.images(32),
            batch_size=16,
            epochs=epochs,
            initial_epoch=resume.epoch,
            callbacks=[resume],
            verbose=0,
        ).history["loss"]
        return losses, [
            numpy(v) for v in (*model.variables, *model.optimizer.variables)
        ]

    whole, state = fit(4, tmp_path / "whole")
    first, _ = fit(2, tmp_path / "parts")
    second, resumed = fit(4, tmp_path / "parts")
    assert whole == first + second
    assert all(map(np.array_equal, state, resumed))


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_configuration(method):
    model = make(method)
    copy = type(model).from_config(model.get_config())
    assert copy.get_config().keys() == model.get_config().keys()
    assert copy.term_weights == model.term_weights
    assert copy.encoder.count_params() == model.encoder.count_params()
    assert copy.expander.output_shape == model.expander.output_shape
    assert [v.shape for v in copy.variables] == [v.shape for v in model.variables]
    own = {name for name, part in model.get_config().items() if isinstance(part, dict)}
    for name, value in model.get_config().items():
        assert name in own or copy.get_config()[name] == value


@pytest.mark.every_backend
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("method", LONGEST if ELSEWHERE else METHODS)
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
@pytest.mark.parametrize("method", LONG)
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
    assert losses[0] == pytest.approx(losses[1], rel=1e-5, abs=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("method", METHODS)
def test_evaluate_and_predict(method):
    model = make(method, views=toys.ShiftedViews())
    x = toys.images(32)
    logs = model.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "embedding_std", *model.term_weights}
    assert model.predict(x, verbose=0).shape == (32, model.expander.output_shape[-1])
    a, b = model((x, x))
    assert np.array_equal(numpy(a), numpy(b))


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="of TensorFlow")
@pytest.mark.parametrize("method", LONG)
def test_two_replicas_compute_what_one_does(method):
    """With batch normalization: losses, and every variable of the trained model."""
    # A whitening multiplies what rounding has changed.
    tolerance = 1e-4 if method == "wmse" else 1e-5
    runs = []
    for strategy in ("none", "mirrored"):
        with kv.distribution(strategy):
            model = make(method, views=toys.ShiftedViews())
        history = model.fit(toys.images(64), batch_size=16, epochs=2, verbose=0).history
        runs.append((history, [numpy(v) for v in model.weights]))
    assert model.distribute_strategy.num_replicas_in_sync == 2
    for name, values in runs[0][0].items():
        assert runs[1][0][name] == pytest.approx(values, rel=1e-5, abs=2e-6), name
    for one, two in zip(runs[0][1], runs[1][1]):
        np.testing.assert_allclose(one, two, atol=tolerance)
    for variable in model.weights:  # the second replica's own
        first, second = variable.value.values
        np.testing.assert_array_equal(first, second, err_msg=variable.path)


@pytest.mark.every_backend
@pytest.mark.parametrize("method", LONGEST)
def test_pieces_compute_what_the_whole_does(method):
    runs = []
    for microbatch_size in (None, 4):
        model = make(
            method,
            views=toys.ShiftedViews(),
            batch_norm=False,
            microbatch_size=microbatch_size,
        )
        history = model.fit(toys.images(32), batch_size=16, epochs=2, verbose=0).history
        runs.append((history["loss"], [numpy(v) for v in model.weights]))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-5, abs=2e-6)
    for whole, pieces in zip(runs[0][1], runs[1][1]):
        np.testing.assert_allclose(whole, pieces, atol=1e-5)


@pytest.mark.parametrize("method", LONG)
def test_a_preset_keeps_the_encoder_and_the_expander_alone(method, tmp_path):
    model = make(method)
    encoder = kv.encoder("resnet18", (8, 8, 3), stem="cifar", width=1 / 16)
    options = {**toys.SMALL.get(method, {}), "views": model.views}
    model = type(model)(encoder, expander=head_like(model.expander), **options)
    model.compile("sgd")
    model.fit(toys.images(32), batch_size=16, verbose=0)
    model.save_to_preset(tmp_path / "preset", plain_keras=False)
    x = toys.images(5, seed=1).astype("float32")
    expected = model.encoder.predict(x, verbose=0)
    alone = kv.from_preset(tmp_path / "preset")
    assert [w.shape for w in alone.weights] == [w.shape for w in model.encoder.weights]
    np.testing.assert_array_equal(alone.predict(x, verbose=0), expected)
    again = type(model).from_preset(tmp_path / "preset", **options)
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def head_like(expander):
    units = [layer.units for layer in expander.layers if hasattr(layer, "units")]
    return kv.expander(units)


@pytest.mark.every_backend
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("method", METHODS)
def test_mixed_precision_for_long(method, precision):
    keras.config.set_dtype_policy(precision)
    try:
        history = make(method).fit(toys.images(64), batch_size=16, epochs=50, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(list(history.history.values())).all()


class Tenth(JointEmbedding):
    """What a newcomer writes: one class, and one line in the table."""

    def __init__(self, encoder, expander=None, *, distance_weight=1.0, **options):
        weights = {"distance": distance_weight}
        super().__init__(encoder, expander, term_weights=weights, **options)

    def loss_terms(self, a, b):
        return {"distance": keras.ops.mean(keras.ops.abs(a - b))}


def test_a_tenth_method_takes_one_file_and_one_line(monkeypatch):
    monkeypatch.setitem(kv.METHODS, "tenth", Tenth)
    for options in [
        {},
        {"predictor": (8,), "momentum": 0.9},
        {"variance_weight": 1.0, "covariance_weight": 0.01, "stop_gradient": True},
    ]:
        model = make("tenth", **options)
        history = model.fit(toys.images(32), batch_size=16, verbose=0).history
        assert set(history) == {"loss", "embedding_std", *model.term_weights}


@pytest.mark.parametrize(
    ("method", "layers", "predictor"),
    [
        ("vicreg", "8192b n r 8192b n r 8192", None),
        ("barlow_twins", "8192 n r 8192 n r 8192", None),
        ("simclr", "6b n r 128b", None),
        ("moco", "6b r 128b", None),
        ("swav", "2048b n r 128b", None),
        ("byol", "4096b n r 256", "4096b n r 16"),
        ("simsiam", "6 n r 6 n r 2048 N", "512 n r 16b"),
        ("wmse", "1024b n r 64b", None),
        ("scan", "8b", None),
    ],
)
def test_the_heads_of_the_papers(method, layers, predictor):
    """b: with bias, n: normalized, N: without gamma and beta, r: rectified."""

    def words(head):
        for layer in head.layers:
            if isinstance(layer, keras.layers.Dense):
                yield f"{layer.units}{'b' * layer.use_bias}"
            elif isinstance(layer, keras.layers.BatchNormalization):
                yield "n" if layer.center and layer.scale else "N"
            else:
                yield "r"

    model = make(method, views=None)
    head = model.make_head(model.widths(6), "expander")
    assert " ".join(words(head)) == layers
    if predictor:
        widths = {"byol": (4096,), "simsiam": (512,)}[method]
        made = model.make_head((*widths, 16), "predictor")
        assert " ".join(words(made)) == predictor


def test_files_of_methods_stay_short():
    folder = Path(methods.__file__).parent
    lines = {
        path.name: len(path.read_text().splitlines())
        for path in folder.iterdir()
        if path.suffix == ".py"
    }
    longest = max(lines, key=lines.get)
    assert lines[longest] <= 1.5 * lines["vicreg.py"], longest
    steps = [p.name for p in folder.glob("*.py") if "def train_step" in p.read_text()]
    assert steps == ["train_step.py"]
