"""One computation on one device and on many, in one process and in several."""

import functools
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import toys
from keras import ops

import keras_vicreg as kv
from keras_vicreg.devices import distribute, replicas

SUPPORT = Path(__file__).parents[1] / "support"
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs distributed_run.py, once for all who ask for the same."""
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def run(backend, processes, *arguments):
        if not importlib.util.find_spec(backend):
            pytest.skip(f"{backend} is not installed")
        out = folder / "-".join([backend, str(processes), *arguments])
        started = [
            subprocess.Popen(
                [sys.executable, SUPPORT / "distributed_run.py", out, *arguments],
                env={
                    **os.environ,
                    "PYTHONPATH": f"{Path(kv.__file__).parents[1]}:{SUPPORT}",
                    "KERAS_BACKEND": backend,
                    **environment,
                },
                stderr=subprocess.PIPE,
                text=True,
            )
            for environment in environments(backend, processes)
        ]
        for process in started:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors[-3000:]
        with np.load(f"{out}.npz") as stored:
            return {name: stored[name] for name in stored.files}

    return run


def environments(backend, processes):
    """What tells each process of its peers."""
    if processes == 1:
        return [{}]
    sockets = [socket.socket() for _ in range(processes)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in sockets]
    for free in sockets:
        free.close()
    if backend == "jax":
        names = "JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"
        return [
            {
                f"KERAS_DISTRIBUTION_{name}": str(value)
                for name, value in zip(names, (addresses[0], processes, number))
            }
            for number in range(processes)
        ]
    cluster = str(addresses).replace("'", '"')
    task = '"task": {"type": "worker", "index": %d}'
    return [
        {"TF_CONFIG": f'{{"cluster": {{"worker": {cluster}}}, {task % number}}}'}
        for number in range(processes)
    ]


@pytest.mark.parametrize("batch_norm", [slow("batch_norm=0"), "batch_norm=1"])
@pytest.mark.parametrize(
    ("backend", "processes", "devices", "arguments"),
    [
        ("tensorflow", 1, 2, ["mirrored", "cpus=2"]),
        slow("tensorflow", 1, 4, ["auto", "cpus=4"]),
        slow("tensorflow", 2, 2, ["auto"]),
        slow("tensorflow", 1, 1, ["none", "xla=1"]),
        slow("jax", 1, 1, ["none"]),
        ("jax", 1, 2, ["auto", "cpus=2"]),
        slow("jax", 1, 8, ["data_parallel", "cpus=8"]),
        slow("jax", 2, 2, ["auto"]),
        slow("torch", 1, 1, ["auto"]),
    ],
)
def test_many_devices_compute_what_one_does(
    run, backend, processes, devices, arguments, batch_norm
):
    one = run("tensorflow", 1, "none", batch_norm)
    many = run(backend, processes, *arguments, batch_norm)
    assert many["devices"] == devices
    assert_equal(many, one)


@pytest.mark.parametrize(
    ("backend", "devices", "arguments"),
    [
        slow("tensorflow", 2, ["mirrored", "cpus=2"]),
        slow("tensorflow", 1, ["none", "xla=1"]),
        slow("jax", 2, ["auto", "cpus=2"]),
    ],
)
def test_pieces_compute_what_the_whole_does(run, backend, devices, arguments):
    one = run("tensorflow", 1, "none", "batch_norm=0")
    pieces = run(backend, 1, *arguments, "batch_norm=0", "microbatch=4")
    assert pieces["devices"] == devices
    assert_equal(pieces, one)


@pytest.mark.parametrize("devices", [2, slow(4)])
def test_every_image_of_an_epoch_is_seen_once(run, devices):
    """Of 67 images in batches of 16 all but three, others in every epoch."""
    found = run("tensorflow", 1, "mirrored", f"cpus={devices}", "count=1")
    assert found["devices"] == devices
    epochs = found["seen"].reshape(3, 64)
    assert all(len(set(epoch)) == 64 for epoch in epochs)
    assert len({frozenset(epoch) for epoch in epochs}) == 3


def assert_equal(many, one):
    """Weights to 1e-5, terms to 1e-5 of the loss they are parts of."""
    for name, expected in one.items():
        scale = 1.0 if name.isdigit() else one["loss"].max()
        if name not in ("devices", "seen"):
            np.testing.assert_allclose(
                many[name], expected, atol=1e-5 * scale, rtol=0, err_msg=name
            )


def in_scope(strategy, devices=None):
    with kv.distribution(strategy, devices):
        return toys.vicreg(views=toys.ShiftedViews())


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="of TensorFlow")
class TestOnTensorFlow:
    """Two logical processors are there, see conftest.py."""

    def test_the_flag_of_synchronized_normalization_is_never_saved(self):
        model = in_scope("mirrored")
        flags = []

        class Look(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                flags.extend(synchronized(self.model))

        model.fit(toys.images(32), batch_size=16, verbose=0, callbacks=[Look()])
        assert flags == [False, False]
        assert '"synchronized": true' not in model.to_json()

    def test_a_batch_that_cannot_be_dealt_out(self):
        import tensorflow as tf

        model = in_scope("mirrored")
        message = "must be known and a multiple of the number of devices"
        with pytest.raises(ValueError, match=message):
            model.fit(toys.images(32), batch_size=5, verbose=0)
        data = tf.data.Dataset.from_tensor_slices(toys.images(32)).batch(16)
        with pytest.raises(ValueError, match="drop_remainder=True"):
            model.fit(data, verbose=0)

    def test_an_encoder_of_many_devices_embeds_each_image_once(self):
        import tensorflow as tf

        images = toys.images(41)
        model = in_scope("mirrored")
        model.fit(images, batch_size=16, verbose=0)
        batches = tf.data.Dataset.from_tensor_slices(images).batch(16)
        found = [kv.embed(model.encoder, data) for data in (images, batches)]
        alone = model.encoder(images, training=False)
        for features in found:
            np.testing.assert_allclose(features, alone, atol=1e-5)

    def test_devices_that_are_not_there(self):
        with pytest.raises(ValueError, match=r"must be among .*CPU:1. Received: GPU:7"):
            in_scope("mirrored", ["CPU:0", "GPU:7"])
        with pytest.raises(ValueError, match="must find the machines in TF_CONFIG"):
            in_scope("multi_worker")
        with pytest.raises(ValueError, match="must be None with"):
            in_scope("multi_worker", ["CPU:0"])

    def test_auto_takes_all_processors_where_there_is_no_gpu(self):
        model = in_scope("auto")
        assert model.distribute_strategy.num_replicas_in_sync == 2
        assert in_scope("none").distribute_strategy.num_replicas_in_sync == 1
        assert distribute.find_devices() == ["CPU:0", "CPU:1"]


@pytest.fixture
def float64():
    """Everything Keras makes is float64."""
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)


class Float64(kv.VICReg):
    """The formula of the paper in float64, gathered and scaled as the package does."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        a, b = map(replicas.gather, y_pred)
        loss = 25 * ops.mean(ops.square(a - b))
        for z in (a, b):
            z = z - ops.mean(z, axis=0)
            samples, features = ops.cast(ops.shape(z)[0], "float64"), z.shape[1]
            covariance = ops.matmul(ops.transpose(z), z) / (samples - 1)
            std = ops.sqrt(ops.diagonal(covariance) + 1e-4)
            others = covariance * (1 - ops.eye(features, dtype="float64"))
            loss += 25 * ops.mean(ops.relu(1 - std)) / 2
            loss += ops.sum(ops.square(others)) / features
        assert loss.dtype == "float64"
        return replicas.scale_loss(loss)


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="of TensorFlow")
def test_the_gradient_of_two_replicas_in_float64(monkeypatch):
    """The package's own loss is float32: this is about all that is around it."""
    monkeypatch.setattr(kv, "VICReg", Float64)
    gradients = []
    for strategy in ("none", "mirrored"):
        with kv.distribution(strategy):
            model = toys.vicreg(
                batch_norm=False,
                views=toys.ShiftedViews(),
                optimizer=keras.optimizers.SGD(1.0),
            )
        before = [v.numpy() for v in model.trainable_variables]
        model.fit(toys.images(16), batch_size=16, shuffle=False, verbose=0)
        after = [v.numpy() for v in model.trainable_variables]
        gradients.append([b - a for b, a in zip(before, after)])
    assert model.distribute_strategy.num_replicas_in_sync == 2
    assert max(np.abs(one).max() for one in gradients[0]) > 0.1
    for one, two in zip(*gradients):
        assert one.dtype == "float64"
        np.testing.assert_allclose(two, one, atol=1e-10, rtol=0)


def synchronized(model):
    return [
        layer.synchronized
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


@pytest.mark.every_backend
def test_strategies_that_are_not_on_offer():
    with pytest.raises(ValueError, match="`strategy` must be one of auto, mirrored"):
        in_scope("horovod")
    other = {"tensorflow": "data_parallel"}.get(keras.config.backend(), "mirrored")
    with pytest.raises(ValueError, match=r"none on the \w+ backend"):
        in_scope(other)
