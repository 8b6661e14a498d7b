"""The only code that crosses devices: gather, count, number and scale.

TensorFlow runs the training step once per replica, each on its share of the batch,
and sums the gradients. JAX under `keras.distribution` is one global program in which
nothing has to be gathered. PyTorch runs one process, one replica.
"""

import keras

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    def num_replicas() -> int:
        """Number of replicas that share one training step."""
        return tf.distribute.get_strategy().num_replicas_in_sync

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

elif keras.config.backend() == "torch":
    import torch

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

    def replica_id():
        """Number of this replica, always 0."""
        return 0

    def gather(x):
        """`x` itself: there is one replica."""
        num_replicas()
        return x

else:

    def num_replicas() -> int:
        """Number of replicas that share one training step: one global program."""
        return 1

    def replica_id():
        """Number of this replica, always 0."""
        return 0

    def gather(x):
        """`x` itself: under `keras.distribution` it is the global batch already."""
        return x


def scale_loss(loss):
    """Divides a loss of the global batch by the number of replicas.

    Every replica computes the loss of the whole gathered batch, and the gradients
    are summed over replicas: without this division they would count it once a
    replica.
    """
    return loss / num_replicas()
