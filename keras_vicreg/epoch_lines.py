"""The progress of a training for a log: one line an epoch."""

import time

import keras

BAR, LINES = 1, 2


def progress(verbose):
    """What `keras.Model.fit` is given for its `verbose`, and a list of callbacks.

    Args:
        verbose: as there; but 2 is one line an epoch, where Keras prints two.
    """
    return (0, [EpochLines()]) if verbose == LINES else (verbose, [])


class EpochLines(keras.callbacks.Callback):
    """Prints number, seconds and logs of each epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        found = (f"{name} {float(value):.4g}" for name, value in (logs or {}).items())
        seconds = f"{time.perf_counter() - self._begin:.1f} s"
        line = ", ".join([seconds, *found])
        print(f"Epoch {epoch + 1} of {self.params['epochs']}: {line}", flush=True)
