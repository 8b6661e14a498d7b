"""What the commands about presets print, and that they do it."""

import pathlib
import shutil

from hub_checks import HANDLE, REPO, holds

from keras_vicreg.commands import presets as preset_commands
from keras_vicreg.presets import folder as folders

pytest_plugins = ["hub_fixtures"]


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_push_and_pull(server, toys, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(toys[0], run / "encoder")
    preset_commands.push(str(run), HANDLE, dry_run=True)
    *files, last = lines(capsys)
    assert not server.repositories
    assert "add            0.2 MB  model.safetensors" in files
    assert last.startswith(f"Would change {len(files)} files of {HANDLE}")
    preset_commands.push(str(run), HANDLE, private=True)
    assert holds(server, toys[0])
    assert server.repositories[REPO].private
    head = server.repositories[REPO].heads["main"]
    assert lines(capsys)[-1].endswith(f"{HANDLE}@{head}")
    preset_commands.push(str(run), HANDLE, private=True)
    assert lines(capsys)[-1] == f"Nothing to change: {HANDLE}@{head}"

    target = tmp_path / "pulled"
    preset_commands.pull(HANDLE, str(target), dry_run=True)
    assert lines(capsys)[-1].startswith("Would download 0.6 MB")
    assert not target.exists()
    preset_commands.pull(HANDLE, str(target))
    assert lines(capsys)[-1] == f"Downloaded 0.6 MB, {HANDLE}@{head}, to {target}"
    assert folders.verify(target) == folders.verify(toys[0])


def test_info(server, toys, capsys):
    server.publish(REPO, toys[0])
    for handle in (HANDLE, str(toys[0])):
        preset_commands.info(handle)
        text = "\n".join(lines(capsys))
        for part in (
            *("resnet18 stem=cifar, width=0.0625", "32 x 32 x 3, 0 to 255"),
            *("32 features", "44,892, float32, 0.2 MB", "kNN top-1 0.25 on CIFAR-10"),
            *("cc0-1.0", "epochs=3", "A toy, for tests.", "Random weights."),
        ):
            assert part in text
    assert server.count("GET", r"\.safetensors") == 0


def test_list(toys, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "keras_vicreg.presets.built_in._weights_folder", lambda: tmp_path
    )
    preset_commands.list_presets()
    assert lines(capsys)[0].startswith("No preset is built in")
    shutil.copytree(toys[0], tmp_path / "toy")
    preset_commands.list_presets()
    assert lines(capsys) == [
        "toy  resnet18  44,892 parameters  CIFAR-10  kNN top-1 0.25"
    ]
    preset_commands.info("toy")
    assert pathlib.Path(lines(capsys)[0].split()[-1]) == tmp_path / "toy"
