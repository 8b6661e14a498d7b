"""Processes that are timed beside each other: one works while the others wait."""

import os
import subprocess
import sys
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
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def read(self) -> list[float]:
        """The numbers of its next line, for which it waits. None where it has ended."""
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
        return [float(word) for word in line.split()]

    def turn(self) -> list[float]:
        """Seconds of its next round, and those of the CPU. None where it has ended."""
        if self.process.poll() is not None:
            return []
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> list[float]:
        """Ends it. The numbers it prints at last, if it does."""
        self.process.stdin.close()
        last = self.read()
        self.process.wait()
        return last
