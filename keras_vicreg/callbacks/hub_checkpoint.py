"""Publishing the encoder while it trains, without training taking notice."""

import pathlib
import tempfile
import threading
import time
import warnings

import keras

from keras_vicreg.hub import push
from keras_vicreg.hub.repository import parse
from keras_vicreg.terminal import printable
from keras_vicreg.zoo import save_to_preset


class HubCheckpoint(keras.callbacks.Callback):
    """Pushes the newest checkpoint to the Hugging Face Hub in the background.

    After an epoch the model is written to a temporary folder, and a thread uploads
    it. While an upload runs, later epochs are skipped, so the training never waits
    for the network; the end of the training is always pushed. What fails is warned
    about, and training goes on.

    Args:
        handle: `"hf://user/repo"` or `"hf://user/repo@branch"`.
        every: int, the number of epochs between two pushes. Defaults to 1.
        private: whether a repository that is made is private. Defaults to `False`.
        token: of the Hub, with write permission. Defaults to the one the user is
            logged in with.
        wait: seconds that the end of training waits for the uploads to finish.
            Defaults to 600. What has not arrived by then is warned about.
        **card: of `kv.save_to_preset`.

    Raises:
        ValueError: if `handle` is no address on the Hub, or `every` or `wait` is
            out of its range.

    Example:

    ```python
    model.fit(images, callbacks=[kv.callbacks.HubCheckpoint("hf://user/photos")])
    ```
    """

    def __init__(
        self,
        handle: str,
        every: int = 1,
        private: bool = False,
        token: str | None = None,
        wait: float = 600.0,
        **card,
    ):
        super().__init__()
        parse(handle)
        if type(every) is not int or every < 1:
            raise ValueError(
                f"`every` must be a positive integer. Received: every={every!r}"
            )
        if not wait >= 0:
            raise ValueError(f"`wait` must be 0 or more. Received: wait={wait!r}")
        self.handle, self.every, self.wait, self.card = handle, every, wait, card
        self._options = {"private": private, "token": token}
        self._thread, self._failure = None, None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 and not self._uploads():
            self._start(f"Epoch {epoch + 1}", plain_keras=False)

    def on_train_end(self, logs=None):
        deadline = time.monotonic() + self.wait
        self._wait_until(deadline)
        if not self._uploads():
            self._start("End of training", plain_keras=True)
            self._wait_until(deadline)
        if self._uploads():
            self._warn(f"still uploading after {self.wait:g} seconds, given up")
        self._report()

    def _uploads(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _wait_until(self, deadline: float) -> None:
        if self._uploads():
            self._thread.join(max(deadline - time.monotonic(), 0.0))

    def _start(self, message: str, plain_keras: bool) -> None:
        """Writes the model, here and now, and hands the folder to a thread."""
        self._report()
        try:
            temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            folder = pathlib.Path(temporary.name) / "preset"
            save_to_preset(self.model, folder, plain_keras=plain_keras, **self.card)
        except Exception as error:
            self._warn(f"not saved: {error}")
            return
        # A daemon: the end of the program does not wait for it either.
        self._thread = threading.Thread(
            target=self._push, args=(temporary, folder, message), daemon=True
        )
        self._thread.start()

    def _push(self, temporary, folder: pathlib.Path, message: str) -> None:
        with temporary:
            try:
                push(self.handle, folder, commit_message=message, **self._options)
            except Exception as error:
                self._failure = f"{message} not pushed: {error}"

    def _report(self) -> None:
        """Warns, in the thread of the training, of what failed in the other."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._warn(failure)

    def _warn(self, text: str) -> None:
        text = printable(text)
        warnings.warn(f"HubCheckpoint {self.handle}: {text}", stacklevel=2)
