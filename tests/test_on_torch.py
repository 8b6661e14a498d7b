"""What is marked `every_backend` holds on PyTorch as it does here."""

import pytest
from other_backend import DEFAULT, LONG, check


@pytest.mark.parametrize("marks", [DEFAULT, LONG])
@pytest.mark.timeout(1800)
def test_every_backend(marks, tmp_path):
    check("torch", marks, tmp_path)
