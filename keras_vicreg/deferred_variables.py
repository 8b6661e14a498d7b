"""Models whose variables have shapes before they have memory."""

import contextlib

import keras
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
