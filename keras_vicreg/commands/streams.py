"""Standard streams that never end a command: a long run is worth more than its log."""

import contextlib
import os
import sys


@contextlib.contextmanager
def lasting():
    """Replaces stdout and stderr by streams that outlive their readers.

    What is written to a pipe that nobody reads any more is lost, and so is what is
    written to a stream that was closed before the process began. A character that the
    stream's encoding lacks becomes its escape.
    """
    _open_closed()
    with (
        contextlib.redirect_stdout(LastingStream(sys.stdout)) as out,
        contextlib.redirect_stderr(LastingStream(sys.stderr)) as errors,
    ):
        try:
            yield
        finally:
            out.flush()
            errors.flush()


@contextlib.contextmanager
def silent():
    """Nothing is printed, but to stderr."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


class LastingStream:
    """A text stream that goes on when the pipe behind it is closed.

    Args:
        stream: the text stream to write to.
    """

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        encoding = self.stream.encoding or "utf-8"
        known = text.encode(encoding, "backslashreplace").decode(encoding)
        with self._without_reader():
            self.stream.write(known)
        return len(text)

    def flush(self) -> None:
        with self._without_reader():
            self.stream.flush()

    @contextlib.contextmanager
    def _without_reader(self):
        """Leads the stream to nowhere, what it still holds too, if its pipe is shut."""
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


def _open_closed() -> None:
    """Opens the standard streams that the process was started without.

    The next files that are opened would take their place, and be written to.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
