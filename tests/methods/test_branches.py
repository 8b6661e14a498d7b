"""Branches that share nothing, views of several sizes, what turns on and off."""

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv


def numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def heads(count=2):
    return tuple(kv.expander((16, 16), batch_norm=False) for _ in range(count))


def unshared(shared=None, **options):
    """Two encoders and two expanders, with the weights of `shared` if it is given."""
    keras.utils.set_random_seed(1)
    encoders = tuple(toys.encoder(batch_norm=False) for _ in range(2))
    model = kv.VICReg(encoders, heads(), **options)
    if shared is not None:
        for encoder, expander in model.branches():
            encoder.set_weights(shared.encoder.get_weights())
            expander.set_weights(shared.expander.get_weights())
    model.compile(keras.optimizers.SGD(1.0))
    return model


def step(model, x):
    """The loss of one step of SGD with rate 1, and the gradient of every part."""
    parts = [*model.parts()]
    before = [[numpy(w) for w in part.weights] for part in parts]
    history = model.fit(x, batch_size=16, shuffle=False, verbose=0).history
    after = [[numpy(w) for w in part.weights] for part in parts]
    return history["loss"][0], [
        [one - two for one, two in zip(*pair)] for pair in zip(before, after)
    ]


@pytest.mark.every_backend
def test_equal_branches_have_the_shared_loss_and_share_its_gradient():
    x = toys.images(16), toys.images(16, seed=1)
    shared = kv.VICReg(toys.encoder(batch_norm=False), heads(1)[0])
    shared.compile(keras.optimizers.SGD(1.0))
    apart = unshared(shared)
    loss, (encoder, expander) = step(shared, x)
    loss_apart, (e1, h1, e2, h2) = step(apart, x)
    assert loss_apart == pytest.approx(loss, rel=1e-6)
    for whole, first, second in [*zip(encoder, e1, e2), *zip(expander, h1, h2)]:
        scale = np.abs(whole).max()
        np.testing.assert_allclose(first + second, whole, atol=2e-6 * max(scale, 1))
        assert np.abs(first).max() > 0


def test_branches_and_views_swapped_together_change_nothing():
    a, b = toys.images(16), toys.images(16, seed=1)
    model = unshared()
    swapped = kv.VICReg(
        (model.second_encoder, model.encoder), (model.second_expander, model.expander)
    )
    swapped.compile("sgd")
    losses = [
        m.evaluate(x, batch_size=16, verbose=0, return_dict=True)["loss"]
        for m, x in [(model, (a, b)), (swapped, (b, a))]
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.every_backend
def test_images_and_vectors(tmp_path):
    """Two modalities: fitted on pairs, saved, and what a preset keeps is the first."""
    x = toys.images(32), np.random.default_rng(0).standard_normal((32, 5), "float32")
    second = keras.Sequential([keras.Input((5,)), keras.layers.Dense(7, "relu")])
    model = kv.VICReg((toys.encoder(), second), heads())
    model.compile(keras.optimizers.SGD(0.05))
    held = {v.path for v in model.trainable_variables}
    assert {v.path for part in model.parts() for v in part.trainable_variables} == held
    before = second.get_weights()
    history = model.fit(x, batch_size=16, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert np.abs(before[0] - second.get_weights()[0]).max() > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, two in zip(model(x), loaded(x)):
        np.testing.assert_array_equal(numpy(one), numpy(two))
    assert model.encoder.output_shape == (None, 6)


def test_inputs_that_do_not_fit_together():
    vectors = np.zeros((32, 5), "float32")
    model = unshared()
    with pytest.raises(ValueError, match=r"`encoder` must be a model or a pair"):
        kv.VICReg((toys.encoder(),) * 3, heads(1)[0])
    with pytest.raises(ValueError, match="must be of the same images"):
        model.fit((toys.images(32), vectors[:31]), batch_size=16, verbose=0)
    vectors[3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 32"):
        model.fit((toys.images(32), vectors), batch_size=16, verbose=0)
    pair = toys.images(32), toys.images(32, size=6)
    with pytest.raises(ValueError, match="two views must have equal shapes"):
        toys.vicreg().fit(pair, batch_size=16, verbose=0)


def crops(sizes, samples=32):
    return tuple(toys.images(samples, size, seed) for seed, size in enumerate(sizes))


@pytest.mark.every_backend
@pytest.mark.slow_elsewhere
def test_crops_of_two_sizes():
    """One pass a size, from an encoder that was built for the larger one."""
    model = toys.method("swav", optimizer=keras.optimizers.SGD(0.05))
    history = model.fit(crops([8, 8, 6, 6, 6]), batch_size=16, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    sizes = [tuple(z.shape) for z in model(crops([8, 8, 6]))]
    assert sizes == [(32, 16)] * 3
    free = kv.encoder("resnet18", (None, None, 3), stem="cifar", width=1 / 16)
    fixed = kv.encoder("resnet18", (8, 8, 3), stem="cifar", width=1 / 16)
    fixed.set_weights(free.get_weights())
    small = toys.images(4, 6)
    head = kv.expander((16, 16))
    for encoder in (free, fixed):
        embeddings = numpy(kv.SwAV(encoder, head, prototypes=8)(small))
        expected = numpy(head(free(small)))
        np.testing.assert_allclose(embeddings, expected, rtol=1e-5, atol=1e-6)


def test_an_encoder_of_one_size_is_named():
    encoder = kv.encoder("vit_tiny", (8, 8, 3), patch_size=4)
    model = kv.SwAV(encoder, kv.expander((8, 8)), prototypes=8)
    with pytest.raises(ValueError, match="must take images of the size of every view"):
        model(crops([8, 8, 4], 2))


def test_crops_of_one_size_are_normalized_as_one_batch():
    model = toys.method("swav")
    a, b = (x.astype("float32") for x in crops([8, 8]))
    together = model((a, b), training=True)
    encoder, expander = model.encoder, model.expander
    both = np.concatenate([a, b])
    expected = numpy(expander(encoder(both, training=True), training=True))
    for embeddings, rows in zip(together, np.split(expected, 2)):
        np.testing.assert_allclose(numpy(embeddings), rows, atol=1e-5)


@pytest.mark.every_backend
def test_four_views_of_one_size():
    model = toys.method("wmse")
    history = model.fit(crops([8] * 4), batch_size=16, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("method", ["vicreg", "byol", "simclr", "moco"])
def test_more_views_than_a_method_takes(method):
    with pytest.raises(ValueError, match=r"must hold 2 batches.*Received: 3"):
        toys.method(method).fit(crops([8] * 3), batch_size=16, verbose=0)


@pytest.mark.parametrize("method", ["vicreg", "barlow_twins", "simclr", "byol"])
def test_vicreg_s_terms_are_those_of_the_online_embeddings(method):
    """Not of predictions, nor of the copy's."""
    options = {"predictor": (8,), "momentum": 0.5, "views": toys.ShiftedViews()}
    weights = {"variance_weight": 2.0, "covariance_weight": 0.5}
    model = toys.method(method, **options, **weights, batch_norm=False)
    for copy in model.target.copies:
        copy.assign(0.5 * copy)
    x = toys.images(32)
    logs = model.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    embeddings = [model.predict(v, verbose=0) for v in toys.ShiftedViews()(x)]
    expected = kv.vicreg_terms(*embeddings)
    for name in ("variance", "covariance"):
        assert logs[name] == pytest.approx(float(expected[name]), rel=1e-4)
    total = sum(weight * logs[name] for name, weight in model.term_weights.items())
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_an_identity_for_a_predictor_gives_vicreg_s_own_loss():
    x = toys.images(32)
    identity = keras.Sequential([keras.layers.Identity()])
    losses = [
        toys.method("vicreg", toys.ShiftedViews(), predictor=predictor).evaluate(
            x, batch_size=32, verbose=0, return_dict=True
        )["loss"]
        for predictor in (None, identity)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_health_of_directions():
    """The length of embeddings is free where directions are compared."""
    model = toys.method("simclr", toys.ShiftedViews(), batch_norm=False)
    x = toys.images(32)
    logs = [model.evaluate(x, batch_size=32, verbose=0, return_dict=True)]
    last = model.expander.layers[-1]
    last.kernel.assign(100 * last.kernel)
    logs.append(model.evaluate(x, batch_size=32, verbose=0, return_dict=True))
    assert logs[0]["embedding_std"] == pytest.approx(logs[1]["embedding_std"], rel=1e-4)
    assert 0 < logs[0]["embedding_std"] <= 1


@pytest.mark.every_backend
def test_a_collapse_that_cannot_be_whitened_is_named():
    model = toys.method("wmse", toys.ShiftedViews(), batch_norm=False)
    for weight in model.expander.trainable_variables:
        weight.assign(0 * weight)
    with pytest.raises(ValueError, match="whitening_epsilon"):
        model.fit(toys.images(32), batch_size=16, verbose=0)
