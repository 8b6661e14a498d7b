"""Activations that are computed again: the same training, less memory."""

import itertools
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg.commands import main as cli
from keras_vicreg.devices.rematerialization import (
    divide,
    find_bottlenecks,
    rematerialize,
)
from keras_vicreg.runs.recipes import Recipe


def trained(remat, encoder=toys.encoder, size=8, epochs=2, **options):
    """Loss of each of 8 steps, and the model after them."""
    keras.utils.set_random_seed(0)
    model = kv.VICReg(encoder(), kv.expander((16, 16)), views=toys.ShiftedViews())
    if remat:
        rematerialize(model.encoder)
    model.compile(keras.optimizers.SGD(1e-3), **options)
    images = toys.images(64, size)
    history = model.fit(images, batch_size=16, epochs=epochs, verbose=0)
    return history.history.get("loss"), model


def flat(variables):
    """All values of variables, one after the other."""
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(v)) for v in variables])


def resnet():
    return kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=0.0625)


def dropping():
    """Random numbers and running statistics in one segment."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for _ in range(3):
        x = keras.layers.Conv2D(6, 3, padding="same")(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.Dropout(0.5, seed=1)(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("encoder", "size"),
    [pytest.param(resnet, 32, marks=pytest.mark.slow_elsewhere), (dropping, 8)],
)
def test_training_stays_the_same(encoder, size):
    losses, model = trained(False, encoder, size)
    again, other = trained(True, encoder, size)
    np.testing.assert_allclose(again, losses, rtol=1e-5)
    _, untrained = trained(False, encoder, size, epochs=0)
    # All together and beside the way they went: where the order of sums differs, as on
    # a busy machine, a ReLU at its edge lets a gradient of one channel jump.
    for variables in ("trainable_variables", "non_trainable_variables"):
        found, expected, start = (
            flat(getattr(m, variables)) for m in (other, model, untrained)
        )
        assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(
            expected - start
        )


@pytest.mark.every_backend
@pytest.mark.slow_elsewhere
def test_eagerly_too():
    losses, _ = trained(False, dropping, run_eagerly=True)
    again, _ = trained(True, dropping, run_eagerly=True)
    np.testing.assert_allclose(again, losses, rtol=1e-6)


@pytest.fixture
def half():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.every_backend
@pytest.mark.slow_elsewhere
@pytest.mark.usefixtures("half")
def test_in_mixed_precision():
    losses, _ = trained(False, dropping)
    again, model = trained(True, dropping)
    assert model.encoder.compute_dtype == "bfloat16"
    np.testing.assert_allclose(again, losses, rtol=1e-4)


@pytest.mark.every_backend
@pytest.mark.slow_elsewhere
def test_what_is_frozen_may_thaw():
    """Frozen when it is divided, trained later."""

    def thawed(remat):
        keras.utils.set_random_seed(0)
        encoder = dropping()
        start = encoder.get_weights()[0]
        encoder.trainable = False
        if remat:
            rematerialize(encoder)
        model = kv.VICReg(encoder, kv.expander((16, 16)), views=toys.ShiftedViews())
        losses = []
        for encoder.trainable in (False, True):
            model.compile(keras.optimizers.SGD(1e-3))
            history = model.fit(toys.images(32), batch_size=16, verbose=0)
            losses += history.history["loss"]
        return losses, encoder.get_weights()[0] - start

    losses, expected = thawed(False)
    again, moved = thawed(True)
    np.testing.assert_allclose(again, losses, rtol=1e-6)
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    assert np.abs(moved).max() > 1e-4


def test_what_is_saved_knows_nothing_of_it(tmp_path):
    _, model = trained(True, resnet, 32)
    model.encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    images = toys.images(4, 32)
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0),
        model.encoder.predict(images, verbose=0),
        atol=1e-6,
    )
    assert "call" not in vars(loaded)
    kv.save_to_preset(model, tmp_path / "preset")
    assert kv.from_preset(str(tmp_path / "preset")).output_shape == (None, 32)


def test_the_places_are_those_between_blocks():
    """None within a residual block: the short cut is alive beside it."""
    names = [
        tensor._keras_history.operation.name for tensor in find_bottlenecks(resnet())
    ]
    assert any("layer1_0" in name for name in names)
    assert not any(name.endswith(("_conv1", "_bn1", "_conv2")) for name in names[5:])


def narrowing():
    """A chain of ever smaller maps."""
    x = inputs = keras.Input((32, 32, 3))
    for channels, stride in ((8, 1), (8, 1), (16, 2), (32, 2)):
        x = keras.layers.Conv2D(channels, 3, stride, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def test_the_division_keeps_the_fewest_numbers():
    """Beside the best of all: what is kept, and what the largest segment computes."""
    model = narrowing()
    tensors = find_bottlenecks(model)
    sizes = [math.prod(tensor.shape[1:]) for tensor in tensors]  # of a chain: all

    def numbers(kept):
        segments = [sizes[a + 1 : b + 1] for a, b in itertools.pairwise(kept)]
        return sum(sizes[at] for at in kept) + max(map(sum, segments))

    inner = range(1, len(sizes) - 1)
    subsets = itertools.chain.from_iterable(
        itertools.combinations(inner, count) for count in range(len(sizes) - 1)
    )
    best = min(numbers([0, *some, len(sizes) - 1]) for some in subsets)
    places = [id(tensor) for tensor in tensors]
    chosen = [places.index(id(tensor)) for tensor in divide(model, tensors)]
    assert chosen[0] == 0
    assert chosen[-1] == len(sizes) - 1
    assert numbers(chosen) == best < 0.7 * numbers([0, len(sizes) - 1])


def shared():
    """A layer that is called twice."""
    inputs = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(3, 3, padding="same")
    x = keras.layers.ReLU()(layer(keras.layers.ReLU()(layer(inputs))))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def nested():
    return keras.Sequential([keras.Input((8, 8, 3)), toys.encoder()])


@pytest.mark.parametrize("encoder", [shared, nested])
def test_what_cannot_be_divided_stays_as_it_is(encoder):
    model = encoder()
    with pytest.warns(UserWarning, match="cannot be divided, so that `remat` has no"):
        rematerialize(model)
    assert "call" not in vars(model)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="of TensorFlow")
def test_two_replicas_compute_the_same():
    losses, model = trained(False)
    with kv.distribution("mirrored"):
        again, other = trained(True)
    assert other.distribute_strategy.num_replicas_in_sync == 2
    np.testing.assert_allclose(again, losses, rtol=1e-5)
    for variable, expected in zip(other.weights, model.weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected.numpy(), atol=1e-5)


PEAK = """
import sys, keras, numpy as np, keras_vicreg as kv
from peak_memory import peak_memory
from keras_vicreg.devices.rematerialization import rematerialize

encoder = kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=0.25)
if sys.argv[1] == "True":
    rematerialize(encoder)
model = kv.VICReg(encoder, kv.expander((64, 64)))
model.compile(keras.optimizers.SGD(0.01))
images = np.zeros((512, 32, 32, 3), "uint8")
before = peak_memory()
model.fit((images, images), batch_size=512, verbose=0)
print(peak_memory() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="of TensorFlow")
def test_it_takes_less_memory():
    """A batch of 512: the peak of a process over what it held before the step."""
    root = Path(kv.__file__).parents[1]
    path = os.pathsep.join(map(str, (root, root / "training" / "benchmarks")))
    whole, again = (
        float(
            subprocess.run(
                [sys.executable, "-c", PEAK, str(remat)],
                env={**os.environ, "PYTHONPATH": path},
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()[-1]
        )
        for remat in (False, True)
    )
    assert 0 < again < 0.6 * whole


@pytest.mark.slow
def test_from_the_command_line(tmp_path, capsys):
    with pytest.raises(ValueError, match="`remat` must be left out with"):
        Recipe(remat=True, microbatch_size=8)
    options = cli.build_parser().parse_args(["pretrain", "--remat"])
    assert options.remat
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rematerialize(resnet())
