"""Products of float32 that are computed in float32.

Accelerators are faster where factors are rounded before they are multiplied: to 11
binary digits on GPUs (TensorFloat-32), to 8 on TPUs. JAX does so unless it is told
otherwise. For the layers of an encoder that is the user's choice. What this package
computes itself, losses and pixels, is a small part of a training step and is exact.

PyTorch rounds no product of matrices by itself. TensorFlow does on GPUs, and has one
setting for the whole program:
`tf.config.experimental.enable_tensor_float_32_execution(False)`.
"""

import contextlib

import keras

if keras.config.backend() == "jax":
    import jax

    def full_precision():
        """Within it no product, nor that of its gradient, rounds its factors."""
        return jax.default_matmul_precision("highest")

else:
    full_precision = contextlib.nullcontext
