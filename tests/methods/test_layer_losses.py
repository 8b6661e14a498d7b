"""Losses that layers add of themselves count, once for each view, or are refused."""

import keras
import numpy as np
import pytest
import toys
from keras import layers, ops

import keras_vicreg as kv
from keras_vicreg.devices.rematerialization import rematerialize

ACTIVITY, ADDED, KERNEL = 0.01, 3.0, 0.5
IMAGES = toys.images(32)


class AddsLoss(layers.Layer):
    def call(self, x):
        self.add_loss(ADDED * ops.mean(ops.square(x)))
        return x


def encoder(which=()):
    """A linear encoder, with losses of layers of any of three kinds."""
    regularizers = {
        "kernel_regularizer": keras.regularizers.L2(KERNEL)
        if "kernel" in which
        else None,
        "activity_regularizer": (
            keras.regularizers.L2(ACTIVITY) if "activity" in which else None
        ),
    }
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(x))
    x = layers.Dense(8, name="first", **regularizers)(x)
    if "added" in which:
        x = AddsLoss()(x)
    x = layers.Dense(6)(x)
    return keras.Model(inputs, x)


def values(model, views) -> dict:
    """What each kind adds, computed from weights and pixels."""
    kernel, bias = map(ops.convert_to_numpy, model.get_layer("first").weights)
    outputs = [
        np.asarray(view, "float64").reshape(len(view), -1) / 255 @ kernel + bias
        for view in views
    ]
    return {
        "kernel": KERNEL * np.square(kernel).sum(),
        "activity": sum(ACTIVITY * np.square(x).sum() / len(x) for x in outputs),
        "added": sum(ADDED * np.square(x).mean() for x in outputs),
    }


def make(monkeypatch, method, which, **options):
    monkeypatch.setattr(toys, "encoder", lambda **_: encoder(which))
    model = toys.method(method, optimizer=keras.optimizers.SGD(0.0), **options)
    return model


def loss(model, views, **options) -> float:
    """The loss of a step in which nothing moves."""
    fit = {"batch_size": 32, "shuffle": False, "verbose": 0}
    return model.fit(views, **fit, **options).history["loss"][0]


def two_views():
    return IMAGES, IMAGES[::-1] // 2  # of unlike activations


@pytest.mark.every_backend
@pytest.mark.parametrize("which", ["kernel", "activity", "added"])
def test_each_view_counts_and_weights_count_once(which, monkeypatch):
    views = two_views()
    plain, model = (make(monkeypatch, "vicreg", kinds) for kinds in ((), {which}))
    extra = values(model.encoder, views)[which]
    assert extra > 0.05
    assert loss(model, views) - loss(plain, views) == pytest.approx(extra, abs=1e-4)
    evaluated = [
        each.evaluate(views, batch_size=32, verbose=0, return_dict=True)["loss"]
        for each in (plain, model)
    ]
    assert evaluated[1] - evaluated[0] == pytest.approx(extra, abs=1e-4)


@pytest.mark.parametrize("method", sorted(set(kv.METHODS) - {"vicreg"}))
def test_in_every_method(method, monkeypatch):
    """Targets of a momentum copy are constants, and add nothing."""
    views = two_views()
    plain = loss(make(monkeypatch, method, ()), views)
    model = make(monkeypatch, method, {"activity", "added", "kernel"})
    extra = values(model.encoder, views)
    passes = 1 if method == "swav" else 2  # both views in one pass
    extra = extra["kernel"] + passes / 2 * (extra["activity"] + extra["added"])
    assert loss(model, views) - plain == pytest.approx(extra, rel=1e-3)


@pytest.mark.every_backend
def test_the_gradient_has_them_too():
    """With the method's own terms at 0 nothing else moves the weights."""
    views, rate = two_views(), 0.01
    keras.utils.set_random_seed(0)
    network = encoder({"added"})
    zero = {f"{name}_weight": 0.0 for name in ("invariance", "variance", "covariance")}
    model = kv.VICReg(network, kv.expander((4, 4)), **zero)
    model.compile(keras.optimizers.SGD(rate))
    kernel, bias = map(ops.convert_to_numpy, network.get_layer("first").weights)
    loss(model, views)
    slope = np.zeros(kernel.shape)
    for view in views:
        pixels = np.asarray(view, "float64").reshape(len(view), -1) / 255
        outputs = pixels @ kernel + bias
        slope += 2 * ADDED * pixels.T @ outputs / outputs.size
    moved = ops.convert_to_numpy(network.get_layer("first").kernel)
    np.testing.assert_allclose(moved, kernel - rate * slope, atol=1e-5)


@pytest.mark.every_backend
def test_branches_of_their_own():
    views = two_views()
    keras.utils.set_random_seed(0)
    pair = encoder({"added"}), encoder({"activity"})
    model = kv.VICReg(pair, (kv.expander((4, 4)), kv.expander((4, 4))))
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(views, batch_size=32, shuffle=False, verbose=0).history
    terms = sum(
        weight * history[name][0] for name, weight in model.term_weights.items()
    )
    extra = values(pair[0], views[:1])["added"] + values(pair[1], views[1:])["activity"]
    assert history["loss"][0] - terms == pytest.approx(extra, rel=1e-4)


@pytest.mark.every_backend
def test_with_remat():
    views = two_views()
    losses = []
    for again in (False, True):
        keras.utils.set_random_seed(0)
        network = encoder({"activity", "added", "kernel"})
        if again:
            rematerialize(network)
        model = kv.VICReg(network, kv.expander((4, 4)))
        model.compile(keras.optimizers.SGD(0.01))
        options = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
        losses.append(model.fit(views, **options).history["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.every_backend
@pytest.mark.parametrize("which", ["activity", "added"])
def test_pieces_refuse_those_of_activations(which, monkeypatch):
    model = make(monkeypatch, "vicreg", {which}, microbatch_size=8)
    before = model.encoder.get_weights()
    with pytest.raises(ValueError, match="`microbatch_size` must be None where layers"):
        loss(model, two_views())
    assert all(map(np.array_equal, before, model.encoder.get_weights()))


@pytest.mark.every_backend
def test_pieces_count_those_of_weights(monkeypatch):
    options = {"which": {"kernel"}, "batch_norm": False}
    whole = make(monkeypatch, "vicreg", **options)
    pieces = make(monkeypatch, "vicreg", **options, microbatch_size=8)
    assert loss(pieces, two_views()) == pytest.approx(loss(whole, two_views()))


def test_a_predictor_with_an_activity_regularizer_is_refused():
    head = keras.Sequential([layers.Dense(4, activity_regularizer="l2", name="mine")])
    with pytest.raises(ValueError, match=r"`predictor` must .*Received: 'mine'"):
        kv.SimSiam(encoder(), (4, 4), predictor=head)


@pytest.mark.parametrize("which", ["activity", "added"])
def test_replicas_refuse_those_of_activations(which, monkeypatch):
    """They call a layer at the same time, and it keeps the losses of one."""
    if keras.config.backend() != "tensorflow":
        pytest.skip("one program on other backends")
    with kv.distribution("mirrored"):
        model = make(monkeypatch, "vicreg", {which})
    with pytest.raises(ValueError, match="There must be one replica where layers add"):
        loss(model, two_views())
    with pytest.raises(ValueError, match="There must be one replica where layers add"):
        model.evaluate(two_views(), batch_size=32, verbose=0)


def test_replicas_count_those_of_weights(monkeypatch):
    if keras.config.backend() != "tensorflow":
        pytest.skip("one program on other backends")
    models = []
    for which in ((), {"kernel"}):
        with kv.distribution("mirrored"):
            models.append(make(monkeypatch, "vicreg", which))
    extra = values(models[1].encoder, two_views())["kernel"]
    plain, regularized = (loss(model, two_views()) for model in models)
    assert regularized - plain == pytest.approx(extra, rel=1e-4)
