"""`training/benchmarks/memory.py`: pieces of a batch keep memory nearly flat."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

BENCHMARKS = Path(__file__).parents[1] / "training" / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="measures TensorFlow"
)
@pytest.mark.parametrize("options", [[], ["--views"]])
def test_a_larger_batch_takes_hardly_more_memory_in_pieces(options):
    """Four times the batch: whole it takes nearly four times the memory."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(BENCHMARKS.parents[1]),
        "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1",
    }
    megabytes = []
    for batch_size in (256, 1024):
        command = [sys.executable, "memory.py", "--one", f"{batch_size},256"]
        command += ["--rounds", "1", *options]
        printed = subprocess.run(
            command,
            cwd=BENCHMARKS,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        megabytes.append(float(printed.split()[-3]))
    assert megabytes[0] > 100
    assert megabytes[1] < 1.15 * megabytes[0] + 2 * 4 * 512 * 1024 / 1e6
