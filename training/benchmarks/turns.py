"""Processes that are timed beside each other: one works while the others wait."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time


def take_turns(run) -> None:
    """In a worker: for each line on stdin calls `run()` and prints what it took.

    That is seconds, and seconds of the CPU, of all threads together.
    """
    for _ in sys.stdin:
        begin, used = time.perf_counter(), time.process_time()
        run()
        print(time.perf_counter() - begin, time.process_time() - used, flush=True)


class Worker:
    """A process that runs a script of this folder, and waits for its turns.

    Args:
        arguments: list of strings, the script and what follows it.
        environment: what is set in its environment besides that of this process.
    """

    def __init__(self, arguments, **environment):
        self.name = " ".join(arguments)
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, as long as it runs
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def read(self) -> list[float]:
        """The numbers of its next line, for which it waits. Empty where it has ended.

        If that was by an error, it says so on stderr.
        """
        line = self.process.stdout.readline()
        if not line and self.process.returncode is None and self.process.wait():
            self.errors.seek(0)
            why = "".join(self.errors.readlines()[-1:]).strip()
            code = self.process.returncode
            print(f"{self.name}: exit status {code}. {why}", file=sys.stderr)
        return [float(word) for word in line.split()]

    def turn(self) -> list[float]:
        """Seconds of its next round, and those of the CPU. Empty where it has ended."""
        with contextlib.suppress(BrokenPipeError):  # it has ended
            os.write(self.process.stdin.fileno(), b"\n")
        return self.read()

    def end(self) -> list[float]:
        """Ends it. The numbers it prints at last, if it does."""
        self.process.stdin.close()
        last = self.read()
        self.process.wait()
        return last
