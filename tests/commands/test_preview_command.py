"""`keras-vicreg preview`: a picture of images beside their views."""

import numpy as np
import pytest
from PIL import Image

from keras_vicreg.commands import main as cli


def test_preview_draws_images_and_views(tmp_path, capsys):
    out = tmp_path / "views.png"
    options = ["preview", "--image-size", "32", "--count", "4", "--out", str(out)]
    assert cli.main(options) == 0
    pixels = np.asarray(Image.open(out))
    # Four groups of an image and two views of 32 px, 2 px between, 10 px after.
    assert pixels.shape == (32, 4 * (3 * 32 + 2 * 2) + 3 * 10, 3)
    original, view = pixels[:, :32].astype(int), pixels[:, 34:66].astype(int)
    assert original.std() > 10
    assert np.abs(original - view).max() > 20
    assert [path.name for path in tmp_path.iterdir()] == ["views.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "magic"], "`--recipe` must be one of"),
        (["--count", "4000"], "`--count` must be at least 1"),
        (["--data", "no/such/folder"], "no such folder"),
    ],
)
def test_bad_input_is_one_line(options, message, tmp_path, capsys):
    out = tmp_path / "views.png"
    assert cli.main(["preview", *options, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not out.exists()
