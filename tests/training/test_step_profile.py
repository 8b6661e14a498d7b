"""`training/benchmarks/step_profile.py` runs and divides a step among its work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[2]
CONTENDERS = {
    "tensorflow": "Keras, TensorFlow",
    "jax": "Keras, JAX",
    "torch": "Keras, torch",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="holds itself to one core")
def test_the_profile_divides_a_step_among_kinds_of_work():
    backend = keras.config.backend()
    if backend == "tensorflow":
        pytest.importorskip("jax")  # reads the trace
    command = [sys.executable, "training/benchmarks/step_profile.py"]
    command += ["--pairs", "2", "--rounds", "1", CONTENDERS[backend]]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^  (.+?) +([\d.]+) ms +([\d.]+)%", result.stdout, re.MULTILINE)
    shares = {kind: float(share) / 100 for kind, _, share in rows}
    assert abs(sum(shares.values()) - 1) < 0.01
    convolutions = [share for kind, share in shares.items() if "convol" in kind]
    assert sum(convolutions) > 0.2
    assert min(convolutions) > 0.02
    for kind in ("batch normalization", "matrix products", "optimizer"):
        assert shares[kind] > 0
