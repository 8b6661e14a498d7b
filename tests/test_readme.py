"""The README says what works: its Python runs, its commands exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from keras_vicreg import cli

pytest_plugins = ["hub_fixtures"]

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
@pytest.mark.parametrize("server", ["xet"], indirect=True)
def test_the_circle_closes(server, tmp_path):
    """The very lines, against a Hub of our own."""
    lines = re.search(r"<!-- circle -->\n```bash\n(.*?)```", README, re.DOTALL)[1]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "user/clothes" in server.repositories
    assert (tmp_path / "presets" / "clothes" / "vicreg.json").is_file()
    assert "from scratch" in done.stdout
    assert (tmp_path / "finetune.json").is_file()
