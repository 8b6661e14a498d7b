"""`training/benchmarks/turns.py`: one process works while the others wait."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "training" / "benchmarks"
SCRIPT = """
import os, sys, time
sys.path.insert(0, {folder!r})
from turns import take_turns
print(7, flush=True)
does = {{"sleep": lambda: time.sleep(0.2), "fail": lambda: sys.exit("no memory")}}
take_turns(does[os.environ["DOES"]])
print(8, 9)
"""


@pytest.fixture
def worker(tmp_path):
    """A function that starts a process, which sleeps in its turns or fails."""
    spec = importlib.util.spec_from_file_location("turns", FOLDER / "turns.py")
    turns = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(turns)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(FOLDER)))
    return lambda does: turns.Worker([str(script)], DOES=does)


def test_turns_are_timed(worker):
    sleeps = worker("sleep")
    assert sleeps.read() == [7]
    for _ in range(2):
        seconds, of_the_cpu = sleeps.turn()
        assert seconds >= 0.2
        assert of_the_cpu < 0.1
    assert sleeps.end() == [8, 9]


def test_a_process_that_fails_has_no_numbers(worker, capfd):
    fails = worker("fail")
    assert fails.read() == [7]
    assert fails.turn() == []
    assert "exit status 1. no memory" in capfd.readouterr().err
    assert fails.turn() == []
    assert fails.end() == []
    assert capfd.readouterr().err == ""


def test_a_process_that_is_killed_while_it_waits(worker, capfd):
    killed = worker("sleep")
    assert killed.read() == [7]
    killed.process.kill()
    assert killed.turn() == []
    assert "exit status -9" in capfd.readouterr().err
    assert killed.end() == []
