"""A run on many devices, in a process of its own.

    python distributed_run.py OUT STRATEGY [cpus=N batch_norm=0 microbatch=N xla=1]
    python distributed_run.py OUT STRATEGY [cpus=N] count=1

It writes the loss of each of three epochs and the final weights, or, with `count`, the
numbers of the images in the order in which views were made of them (TensorFlow).
"""

import os
import sys

OPTIONS = dict(argument.split("=") for argument in sys.argv[3:])
CPUS = int(OPTIONS.get("cpus", 1))
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={CPUS}"

import keras  # noqa: E402
import numpy as np  # noqa: E402

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * CPUS,
    )
else:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")

import toys  # noqa: E402

import keras_vicreg as kv  # noqa: E402
from keras_vicreg.data.batches import Batches  # noqa: E402
from keras_vicreg.devices import replicas  # noqa: E402

seen = []


class Views(toys.ShiftedViews):
    def call(self, images):
        if "count" in OPTIONS:
            numbers = images[:, 0, 0, 0]
            tf.py_function(lambda x: seen.extend(x.numpy()), [numbers], [])
        return super().call(images)


images = toys.images(67)
if "count" in OPTIONS:
    images[:, 0, 0, 0] = np.arange(67)

with kv.distribution(sys.argv[2]):
    model = toys.vicreg(
        batch_norm=OPTIONS.get("batch_norm", "1") == "1",
        views=Views(),
        # The norm of the whole gradient, which is larger.
        optimizer=keras.optimizers.SGD(0.02, global_clipnorm=0.5),
        microbatch_size=int(OPTIONS.get("microbatch", 0)) or None,
        jit_compile=bool(OPTIONS.get("xla")) or "auto",
    )
    rng = np.random.default_rng(0)  # backends draw different initial weights
    for kernel in model.trainable_variables:
        if len(kernel.shape) > 1:
            scale = np.prod(kernel.shape[:-1]) ** -0.5
            kernel.assign(rng.normal(0, scale, kernel.shape))
    # In an order that does not hang on the number of processes.
    history = model.fit(Batches(images, 16), epochs=3, verbose=0).history
    devices = replicas.num_devices()
    weights = [keras.ops.convert_to_numpy(v.value) for v in model.weights]
    if replicas.is_chief():
        losses = {name: np.array(values) for name, values in history.items()}
        weights = {str(number): value for number, value in enumerate(weights)}
        np.savez(sys.argv[1], devices=devices, seen=seen, **losses, **weights)
