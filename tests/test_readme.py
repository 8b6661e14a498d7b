"""The README says what works: its Python runs, its commands exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from photographs import save_splits

import keras_vicreg as kv
from keras_vicreg.commands import main as cli

pytest_plugins = ["hub_fixtures"]

# Training that is as short as it can be.
SHORT = """
keras-vicreg() {
    case $1 in
    pretrain)
        command keras-vicreg "$@" --image-size 32 --width 0.0625 --expander 16,16 \\
            --epochs 1 --batch-size 16
        ;;
    finetune) command keras-vicreg "$@" --epochs 1 --seeds 1 ;;
    *) command keras-vicreg "$@" ;;
    esac
}
"""
README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("index", range(len(blocks("python"))))
def test_python_runs(index, capsys):
    code = re.sub(r"epochs=\d+", "epochs=1", blocks("python")[index])
    exec(compile(code, f"README block {index}", "exec"), {})


def test_commands_are_understood():
    commands = re.findall(r"keras-vicreg ((?!-)\w[^\n&]*)", "\n".join(blocks("bash")))
    assert len(commands) >= 3
    for command in commands:
        options = cli.build_parser().parse_args(command.split())
        assert callable(options.command)


def test_no_figure_is_left_to_fill_in():
    for name in ("OUTPUT", "LOSS_TABLE", "VIEWS_TABLE", "PLACEHOLDER"):
        assert name not in README


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_commands_run(server, toys, tmp_path):
    """All but the two commands and the circle, with what they speak of; made short."""
    save_splits(tmp_path / "photographs", {"train": 40, "test": 20})
    kv.export_torch(kv.encoder("resnet50", width=0.0625), tmp_path / "resnet50.pth")
    server.publish("user/repo", toys[0])
    others = re.findall(
        r"(?<!command -->\n)(?<!circle -->\n)```bash\n(.*?)```", README, re.S
    )
    runs = "".join(
        f"keras-vicreg pretrain --data photographs --run-dir runs/{name}\n"
        for name in ("first", "second")
    )
    run(SHORT + runs + "".join(others), tmp_path)
    written = ("views.png", "representations.npz", "presets/resnet50", "report.html")
    assert [name for name in written if not (tmp_path / name).exists()] == []


def run(lines, folder):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=folder,
        env={**os.environ, "HF_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("server", ["xet"], indirect=True)
def test_the_circle_closes(server, tmp_path):
    """The very lines, against a Hub of our own."""
    lines = re.search(r"<!-- circle -->\n```bash\n(.*?)```", README, re.DOTALL)[1]
    printed = run(lines, tmp_path)
    assert "user/clothes" in server.repositories
    assert (tmp_path / "presets" / "clothes" / "vicreg.json").is_file()
    assert "from scratch" in printed
    assert (tmp_path / "finetune.json").is_file()
