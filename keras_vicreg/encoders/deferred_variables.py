"""Models whose variables have shapes before they have memory."""

import contextlib

import keras
import numpy as np
from keras.src.backend.common import global_state

PENDING = "uninitialized_variables"


@contextlib.contextmanager
def deferred_variables(keep: bool = True):
    """Variables made inside are given memory and values when the block ends.

    If the block raises, or `keep` is false, they never are. So a model can be built
    and its shapes compared with what is to be loaded before a byte is spent on it.

    Keras defers variables in `keras.StatelessScope` and has no public way to drop
    those that wait, hence the list of its inside.

    Args:
        keep: whether the variables are wanted after the block.
    """
    waiting = global_state.get_global_attribute(PENDING) or []
    global_state.set_global_attribute(PENDING, [])
    with keras.StatelessScope():
        try:
            yield
        except BaseException:
            keep = False
            raise
        finally:
            made = global_state.get_global_attribute(PENDING) if keep else []
            global_state.set_global_attribute(PENDING, waiting + made)


def start_with(variable, value) -> None:
    """Gives a variable that waits for memory its first value.

    Random initial values of a network take longer than reading its weights.

    Args:
        variable: a Keras variable, made inside of `deferred_variables`.
        value: array of its shape.
    """
    # A copy: PyTorch would train in the memory of the file's bytes.
    variable._initializer = lambda shape, dtype=None: keras.ops.convert_to_tensor(
        np.array(value), dtype=dtype
    )
