"""A run means the same images from any folder, and shows nobody where they lie."""

from pathlib import Path

from keras_vicreg.runs.paths import anchored, found_from, without_folders
from keras_vicreg.runs.recipes import Recipe


def test_paths_become_absolute_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "saved").mkdir()
    (tmp_path / "sample").mkdir()
    for data, kept in {
        "photographs": f"{tmp_path}/photographs",
        "a/../photographs/": f"{tmp_path}/photographs",
        "~/photographs": f"{tmp_path}/home/photographs",
        "/data/photographs": "/data/photographs",
        "hf:saved": f"hf:{tmp_path}/saved",
        "hf:user/repo": "hf:user/repo",
        "tfds:cifar10": "tfds:cifar10",
        "sample": "sample",
    }.items():
        recipe = anchored(Recipe(data=data, data_dir="prepared"))
        assert recipe.data == kept
        assert recipe.data_dir == f"{tmp_path}/prepared"
        assert anchored(recipe) == recipe
    assert anchored(Recipe()) == Recipe()


def test_of_a_path_the_name_is_shown():
    for value, shown in {
        "/home/me/photographs": "photographs",
        "hf:/home/me/saved": "saved",
        "hf:user/repo": "hf:user/repo",
        "tfds:cifar10": "tfds:cifar10",
        "sample": "sample",
        "/": "/",
        3: 3,
    }.items():
        assert without_folders(value) == shown


def test_relative_paths_of_older_runs_are_found_from_the_run(tmp_path, monkeypatch):
    run, elsewhere = tmp_path / "a" / "runs" / "run", tmp_path / "b"
    run.mkdir(parents=True)
    for place in (tmp_path / "a", elsewhere):
        for name in ("photographs", "prepared", "sample", "tfds:cifar10"):
            (place / name).mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    found = found_from(run, Recipe(data="photographs", data_dir="prepared"))
    assert found.data == f"{tmp_path}/a/photographs"
    assert found.data_dir == f"{tmp_path}/a/prepared"
    found = found_from(Path("../a/runs/run"), Recipe(data="photographs"))
    assert found.data == f"{tmp_path}/a/photographs"
    for data in ("nowhere", "sample", "hf:user/repo", "tfds:cifar10", "/nowhere"):
        assert found_from(run, Recipe(data=data)) == Recipe(data=data)
