"""A run goes on with the same recipe, images, backend and backbone, or not at all."""

import dataclasses
import json

import keras
import pytest
import toys
from photographs import photograph, save_images, write

import keras_vicreg as kv
from keras_vicreg.commands import main as cli
from keras_vicreg.data.batches import Batches
from keras_vicreg.runs.folder import RunFolder
from keras_vicreg.runs.identity import claim
from keras_vicreg.runs.pretraining import load_batches
from keras_vicreg.runs.recipes import Recipe

RECIPE = Recipe(image_size=16, batch_size=8).resolved(16)


def batches(images):
    return Batches(images, 8)


@pytest.fixture
def claimed(tmp_path):
    """A run folder of 16 images."""
    folder = RunFolder(tmp_path / "run")
    claim(folder, RECIPE, batches(toys.images(16, 16)))
    return folder


def config(folder) -> dict:
    return json.loads((folder.path / "config.json").read_text())


def change(folder, **changes):
    (folder.path / "config.json").write_text(json.dumps(config(folder) | changes))


def test_the_same_run_goes_on(claimed):
    before = config(claimed)
    claim(claimed, RECIPE, batches(toys.images(16, 16)))
    assert config(claimed) == before


def one_pixel():
    images = toys.images(16, 16)
    images[7, 3, 2, 1] ^= 1
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (lambda: toys.images(24, 16), "24 images, not 16"),
        (one_pixel, "other images than the 16 of the run"),
        (lambda: toys.images(16, 16)[::-1], "other images than the 16 of the run"),
        (lambda: toys.images(16, 16) * 1.0, "other images than the 16 of the run"),
        (lambda: (toys.images(16, 16),) * 2, "other images than the 16 of the run"),
    ],
    ids=["more", "one pixel", "order", "dtype", "pairs"],
)
def test_other_images_are_refused(claimed, images, message):
    before = config(claimed)
    with pytest.raises(ValueError, match=f"`run_dir` must be .*run with {message}$"):
        claim(claimed, RECIPE, batches(images()))
    assert config(claimed) == before


def test_another_backend_is_refused_and_another_version_is_not(claimed):
    versions = config(claimed)["versions"]
    change(claimed, versions=dict.fromkeys(versions, "0.1") | {"backend": "theano"})
    with pytest.raises(ValueError, match=r"backend='tensorflow', not 'theano'$"):
        claim(claimed, RECIPE, batches(toys.images(16, 16)))
    change(claimed, versions={**versions, "numpy": "0.1", "python": "2.7"})
    change(claimed, machine="a pocket calculator", devices=8)
    claim(claimed, RECIPE, batches(toys.images(16, 16)))


def test_every_difference_is_named(claimed):
    other = dataclasses.replace(RECIPE, epochs=70, seed=3)
    with pytest.raises(
        ValueError, match=r"epochs=70, not 100; seed=3, not 0; 24 images, not 16$"
    ):
        claim(claimed, other, batches(toys.images(24, 16)))


def test_a_run_of_an_older_version_is_held_to_what_it_knew(claimed):
    stored = config(claimed)
    for name in ("images_digest", "versions"):
        del stored[name]
    del stored["recipe"]["method_options"]
    (claimed.path / "config.json").write_text(json.dumps(stored))
    claim(claimed, RECIPE, batches(one_pixel()))
    with pytest.raises(ValueError, match="24 images, not 16"):
        claim(claimed, RECIPE, batches(toys.images(24, 16)))


@pytest.mark.parametrize("name", ["recipe", "versions", "encoder_source"])
def test_a_config_of_another_shape_is_refused(claimed, name):
    change(claimed, **{name: ["mine"]})
    with pytest.raises(ValueError, match=r"config.json must be of a run. Received: "):
        claim(claimed, RECIPE, batches(toys.images(16, 16)))


def test_another_file_of_the_backbone_is_refused(tmp_path):
    file, folder = tmp_path / "mine.keras", RunFolder(tmp_path / "run")
    recipe = dataclasses.replace(RECIPE, encoder=str(file), stem=None)

    def save(seed):
        keras.utils.set_random_seed(seed)
        layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)]
        keras.Sequential([*layers, keras.layers.Flatten()]).save(file)

    save(0)
    claim(folder, recipe, batches(toys.images(16, 16)))
    claim(folder, recipe, batches(toys.images(16, 16)))
    save(1)
    with pytest.raises(ValueError, match="another file of the encoder, sha256"):
        claim(folder, recipe, batches(toys.images(16, 16)))


def larger(path):
    write(path / "1.png", photograph(99, (80, 60)))


@pytest.mark.parametrize(
    ("happens", "message"),
    [
        (lambda path: write(path / "9.png", photograph(9)), "9 images, not 8"),
        (lambda path: (path / "1.png").rename(path / "a.png"), "other images than"),
        (larger, "other images than the 8"),
    ],
    ids=["added", "renamed", "replaced"],
)
def test_other_files_of_large_photographs_are_refused(happens, message, tmp_path):
    data, folder = tmp_path / "data", RunFolder(tmp_path / "run")
    for number in range(8):
        write(data / f"{number}.png", photograph(number))
    recipe = Recipe(data=str(data), image_size=16, batch_size=4)
    claim(folder, *load_batches(recipe))
    claim(folder, *load_batches(recipe))
    happens(data)
    with pytest.raises(ValueError, match=message):
        claim(folder, *load_batches(recipe))


def test_the_command_line_says_so_in_a_line(tmp_path, capsys):
    data, run = tmp_path / "data", tmp_path / "run"
    save_images(data, 16)
    words = ["pretrain", "--data", str(data), "--image-size", "16", "--width", "0.0625"]
    words += ["--expander", "8,8", "--batch-size", "8", "--epochs", "1"]
    words += ["--distribution", "none", "--run-dir", str(run)]
    assert cli.main(words) == 0
    history = (run / "history.csv").read_text()
    save_images(data, 16, seed=1)
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "other images than the 16 of the run" in error
    assert len(error.splitlines()) == 1
    assert (run / "history.csv").read_text() == history
    assert kv.from_preset(str(run)).output_shape == (None, 32)
