"""What is marked `every_backend` holds on JAX and PyTorch as it does here."""

import pytest
from conftest import OTHERS

LONG = pytest.param("every_backend and slow", marks=pytest.mark.slow)


@pytest.mark.parametrize("marks", ["every_backend and not slow", LONG])
@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.timeout(1800)
def test_backend(backend, marks, other_backends):
    process, output = other_backends[backend, marks]
    code = process.wait()
    text = output.read_text()
    print(text.splitlines()[-1])
    assert code == 0, text[-8000:]
