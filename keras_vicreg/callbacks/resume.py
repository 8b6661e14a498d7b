"""Checkpoints from which an interrupted run goes on as if it had not stopped."""

import os
import re
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_vicreg.devices import replicas

ORDER = "order"  # the seed of the order of arrays, in a checkpoint


class Resume(keras.callbacks.Callback):
    """Saves the whole training state after each epoch, and goes on from it.

    Weights, optimizer (with the step the schedule is at), the states of all random
    generators and the seed of the order of arrays are kept in one file,
    `epoch-0007.npz` after 7 epochs, written under another name and renamed: whenever
    the run is cut off, the last whole checkpoint is there. Of several processes the
    chief alone writes; all go on from what it wrote.

    Args:
        folder: path of the folder for the checkpoint, made where there is none.
            Several processes must share it.

    Raises:
        ValueError: if `folder` is a file, or the checkpoint there was not made by
            such a model (at the start of `fit`).

    Example:

    ```python
    resume = kv.callbacks.Resume("checkpoint")
    model.fit(images, epochs=100, initial_epoch=resume.epoch, callbacks=[resume])
    ```
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"`folder` must be a folder. Received: folder={folder}")

    @property
    def epoch(self) -> int:
        """Number of epochs that are done, 0 where nothing is stored."""
        return max(self._checkpoints(), default=0)

    def _checkpoints(self) -> dict:
        """Path of each stored checkpoint by its number of epochs."""
        names = re.compile(r"epoch-(\d+)\.npz")
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return {int(m[1]): path for path in found if (m := names.fullmatch(path.name))}

    def _state(self) -> list:
        """Every variable a step reads or changes, in the order of their making."""
        optimizer = self.model.optimizer
        # Without its variables there would be nothing to restore the state into.
        if not optimizer.built:  # one that scales the loss would make them once more
            optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *optimizer.variables]

    def _batches(self):
        """Those of arrays that the model is fitted to, whose seed is their order."""
        return getattr(self.model, "batches", None)

    def on_train_begin(self, logs=None):
        self._started = False
        if not self.epoch:
            return
        path, state = self._checkpoints()[self.epoch], self._state()
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"The checkpoint must be a whole file. Received: {path} ({error})"
            ) from error
        order = arrays.pop(ORDER, None)  # version 0.1.0 kept none
        values = [*arrays.values()]
        if [v.shape for v in values] != [tuple(v.shape) for v in state]:
            raise ValueError(
                "The checkpoint must have been made by this model. "
                f"Received: {path}, whose {len(values)} arrays differ from its "
                f"{len(state)} variables"
            )
        for variable, value in zip(state, values):
            variable.assign(value)
        if order is not None and self._batches() is not None:
            self._batches().seed = int(order)
            # the epoch is where Keras, which has counted to it, expects it
            self._batches().start_at(self._batches().epoch)

    def on_epoch_begin(self, epoch, logs=None):
        if not self._started and epoch != self.epoch:
            raise ValueError(
                f"`initial_epoch` must be {self.epoch}, the epochs that the checkpoint "
                "has behind it: pass `initial_epoch=resume.epoch` to `fit`. "
                f"Received: initial_epoch={epoch}"
            )
        self._started = True

    def on_epoch_end(self, epoch, logs=None):
        # No other process has to take part: each holds the whole state.
        if not replicas.is_chief():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        older = self._checkpoints()
        temporary = self.folder / ".part.npz"
        try:
            # Not HDF5: its library crashes the process where a disk is full.
            state = map(_storable, self._state())
            batches = self._batches()
            order = {} if batches is None else {ORDER: batches.seed}
            np.savez(temporary, *state, **order)
            os.replace(temporary, self.folder / f"epoch-{epoch + 1:04d}.npz")
        finally:
            temporary.unlink(missing_ok=True)
        for done, path in older.items():
            if done != epoch + 1:
                path.unlink(missing_ok=True)


def _storable(variable):
    """The value of a variable; where NumPy has no such dtype, bfloat16, as float32."""
    value = keras.ops.convert_to_numpy(variable)
    return value.astype("float32") if value.dtype.kind == "V" else value
