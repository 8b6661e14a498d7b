"""The only code that crosses devices: gather, count, number, scale, synchronize.

TensorFlow runs the training step once per replica, each on its share of the batch,
and sums the gradients. JAX under `keras.distribution` is one global program in which
nothing has to be gathered. PyTorch runs one process, one replica.
"""

import collections
import concurrent.futures
import contextlib

import keras

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    # What a collective operation raises when a process that it waits for is gone.
    LOST = (
        tf.errors.AbortedError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
        tf.errors.UnavailableError,
    )

    def scope():
        """Makes the scope of the strategy that is in force, to enter it again."""
        return tf.distribute.get_strategy().scope

    def process() -> tuple[int, int]:
        """Number of this process, 0-based, and how many there are."""
        resolver = tf.distribute.get_strategy().cluster_resolver
        workers = resolver.cluster_spec().as_dict() if resolver else {}
        count = sum(len(workers.get(role, ())) for role in ("chief", "worker"))
        if count <= 1:
            return 0, 1
        number = resolver.task_id
        if resolver.task_type == "worker" and "chief" in workers:
            number += 1
        return number, count

    def share(rows):
        """What this process feeds of a batch: all, since TensorFlow deals it out."""
        return rows

    def on_cpu() -> bool:
        """Whether there is no accelerator."""
        return not tf.config.list_logical_devices("GPU")

    def num_replicas() -> int:
        """Number of replicas that share one training step."""
        return tf.distribute.get_strategy().num_replicas_in_sync

    num_devices = num_replicas

    def replica_id():
        """Number of this replica, 0-based: an `int` or a scalar int32 tensor."""
        context = tf.distribute.get_replica_context()
        return 0 if context is None else context.replica_id_in_sync_group

    def gather(x):
        """Rows of all replicas, `(global batch, ...)`, with gradients.

        Args:
            x: tensor `(batch, ...)` of this replica.
        """
        context = tf.distribute.get_replica_context()
        if num_replicas() == 1 or context is None:
            return x
        rows = None if x.shape[0] is None else x.shape[0] * num_replicas()
        # `all_gather` forgets the static shape, that of the features too.
        return tf.ensure_shape(context.all_gather(x, axis=0), (rows, *x.shape[1:]))

    def sum_gradients_first(optimizer) -> None:
        """Makes an optimizer sum gradients over replicas before it looks at them.

        Keras sums them last: it clips the part of each replica by itself, and takes a
        gradient of float16 for finite when that of the first replica is.

        Args:
            optimizer: a `keras.Optimizer`. It stays as it is where there is one
                replica.
        """
        if num_replicas() == 1 or "apply" in vars(optimizer):
            return
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        sum_over_replicas, stock = inner._all_reduce_sum_gradients, optimizer.apply

        def apply(grads, trainable_variables=None):
            variables = trainable_variables or optimizer._trainable_variables
            summed = sum_over_replicas(zip(grads, variables))
            return stock([grad for grad, _ in summed], trainable_variables)

        optimizer.apply = apply
        inner._all_reduce_sum_gradients = list  # done before

elif keras.config.backend() == "torch":
    import torch

    LOST = ()

    def scope():
        """Makes a scope without effect."""
        return contextlib.nullcontext

    def process() -> tuple[int, int]:
        """Number of this process, 0-based, and how many there are."""
        return 0, 1

    def share(rows):
        """What this process feeds of a batch: all of it."""
        return rows

    def on_cpu() -> bool:
        """Whether there is no accelerator."""
        return not torch.cuda.is_available()

    def num_replicas() -> int:
        """Number of replicas that share one training step."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            processes = torch.distributed.get_world_size()
            if processes > 1:
                raise ValueError(
                    "Training in several PyTorch processes must have a Keras whose "
                    "trainer supports it (3.16 or newer); use the TensorFlow or JAX "
                    "backend for several devices. "
                    f"Received: {processes} processes, Keras {keras.__version__}"
                )
        return 1

    num_devices = num_replicas

    def replica_id():
        """Number of this replica, always 0."""
        return 0

    def gather(x):
        """`x` itself: there is one replica."""
        num_replicas()
        return x

    def sum_gradients_first(optimizer) -> None:
        """Nothing to do: there is one replica."""

else:
    import jax

    # JAX has one error for all that happens in a running program.
    LOST = (jax.errors.JaxRuntimeError,)

    def scope():
        """Makes the scope of the distribution that is in force, to enter it again."""
        distribution = keras.distribution.distribution()
        return distribution.scope if distribution else contextlib.nullcontext

    def process() -> tuple[int, int]:
        """Number of this process, 0-based, and how many there are."""
        return jax.process_index(), jax.process_count()

    def share(rows):
        """What this process feeds of a batch: its block, `(batch / processes, ...)`."""
        number, count = process()
        block = len(rows) // count
        return rows[number * block : (number + 1) * block]

    def on_cpu() -> bool:
        """Whether there is no accelerator."""
        return jax.default_backend() == "cpu"

    def num_replicas() -> int:
        """Number of replicas that share one training step: one global program."""
        return 1

    def num_devices() -> int:
        """Number of devices that share a batch."""
        distribution = keras.distribution.distribution()
        return distribution.device_mesh.devices.size if distribution else 1

    def replica_id():
        """Number of this replica, always 0."""
        return 0

    def gather(x):
        """`x` itself: under `keras.distribution` it is the global batch already."""
        return x

    def sum_gradients_first(optimizer) -> None:
        """Nothing to do: gradients are those of the global program."""


def scale_loss(loss):
    """Divides a loss of the global batch by the number of replicas.

    Every replica computes the loss of the whole gathered batch, and the gradients
    are summed over replicas: without this division they would count it once a
    replica.
    """
    return loss / num_replicas()


def is_chief() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return process()[0] == 0


def alone(function):
    """Calls a function as on one device in one process, and returns its result.

    A distribution is in force in the thread that entered it, and in no other. So
    models that the function makes are this process's own, and no other process has
    to take part; the global dtype policy is as outside.

    Args:
        function: without arguments.
    """
    if num_devices() == 1:
        return function()
    policy = keras.config.dtype_policy()

    def call():
        keras.config.set_dtype_policy(policy)
        return function()

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


_inside = collections.Counter()


@contextlib.contextmanager
def synchronized_normalization(model):
    """Batch normalization over the global batch, within one step of a replica.

    JAX has it by itself. A flag of the layer makes TensorFlow do so, which no other
    backend can load: it stands as long as the step is traced, and no saved model has
    it. Replicas trace their steps by turns, so the last one to leave takes it away.

    Args:
        model: a `keras.Model`.
    """
    layers = [
        layer
        for layer in (model._flatten_layers() if num_replicas() > 1 else ())
        if isinstance(layer, keras.layers.BatchNormalization)
        and (not layer.synchronized or _inside[id(layer)])
    ]
    for layer in layers:
        layer.synchronized = True
        _inside[id(layer)] += 1
    try:
        yield
    finally:
        for layer in layers:
            _inside[id(layer)] -= 1
            layer.synchronized = _inside[id(layer)] > 0
