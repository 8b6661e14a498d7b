"""Compiling a pure function of tensors with XLA where its caller does not."""

import sys

import keras

from keras_vicreg.augment.arrays import is_foreign
from keras_vicreg.devices import replicas


class Compiled:
    """A pure function of tensors, compiled where that is the faster way.

    On TensorFlow, XLA makes the views several times faster than TensorFlow's own
    kernels, while the rest of a model can be slower with it: so the function alone
    is compiled, and in `tf.data` under every Keras backend. With several replicas,
    where XLA can hang, it is not. JAX compiles for its device. PyTorch runs the
    function as it is.

    Args:
        function: maps tensors, or nested structures of them, to tensors. It must
            neither draw random numbers nor change a variable: a symbolic trace would
            record that once and never again.
    """

    def __init__(self, function):
        self.function = function
        self.executables = {}

    def __call__(self, *arguments):
        foreign = is_foreign(keras.tree.flatten(arguments)[0])
        backend = "tensorflow" if foreign else keras.config.backend()
        if backend == "torch" or replicas.num_replicas() > 1:
            return self.function(*arguments)
        if backend not in self.executables:
            self.executables[backend] = self._compile(backend)
        return self.executables[backend](*arguments)

    def _compile(self, backend: str):
        if backend == "jax":
            import jax

            return jax.jit(self.function)
        import tensorflow as tf

        # TensorFlow's plug-in for the GPUs of a Mac has no XLA.
        xla = sys.platform != "darwin"
        return tf.function(self.function, jit_compile=xla)
