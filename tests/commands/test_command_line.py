"""The command line as people type it: its streams, its options, its errors."""

import os
import subprocess
import sys
import warnings

import pytest
import toys
from photographs import save_images, save_splits

from keras_vicreg.commands import main as cli
from keras_vicreg.evaluation.subsets import stratified_subset

MODULE = "keras_vicreg.commands.main"
TINY = ["--image-size", "16", "--width", "0.0625", "--expander", "16,16"]
TINY += ["--batch-size", "8", "--epochs", "3", "--learning-rate", "0.1"]
TINY += ["--distribution", "none"]


def refusal(words, capsys):
    """The one line on stderr, of a command that must end with exit code 2."""
    try:
        code = cli.main([str(word) for word in words])
    except SystemExit as end:
        code = end.code
    assert code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A folder of images without labels."""
    return str(save_images(tmp_path_factory.mktemp("flat"), 16))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A file with a tiny encoder."""
    file = tmp_path_factory.mktemp("encoder") / "tiny.keras"
    toys.encoder(size=16).save(file)
    return file


@pytest.mark.parametrize(
    ("command", "reader"),
    [("list", "head -n 1"), ("pretrain --help", "head -n 1"), ("--help", "true")],
)
def test_a_closed_pipe_is_no_error(command, reader):
    """`keras-vicreg list | head -n 1`."""
    piped = f"set -o pipefail; {sys.executable} -m {MODULE} {command} | {reader}"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


STREAMS = """
from keras_vicreg.commands.streams import lasting
with lasting():
    file = open("first", "w")
    print("caf\\xe9 \\u2501")
    file.write("own")
"""


@pytest.mark.parametrize("closed", ["", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed_or_know_few_characters(closed, tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c '{STREAMS}' {closed}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (b"" if closed else b"caf\\xe9 \\u2501\n")
    assert (tmp_path / "first").read_text() == "own"


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "no-such-preset"],
        ["finetune", "no-such-preset"],
        ["embed", "no-such-preset"],
        ["preview", "--data", "no/such/folder"],
        ["report", "no-such-run"],
    ],
)
@pytest.mark.parametrize("out", ["missing/file", ".", "file/below", "", "/proc/file"])
def test_a_file_that_cannot_be_written_is_noticed_first(
    words, out, tmp_path, monkeypatch, capsys
):
    """Before the work: what is wrong with the rest is not even looked at."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    assert "argument --out: must be " in refusal([*words, "--out", out], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("folder", ["file", "file/below", "", "/proc/below/folder"])
def test_a_folder_that_cannot_be_written_is_noticed_first(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    words = ["convert", "no-such-file.pth", "--out", folder]
    assert "argument --out: must be " in refusal(words, capsys)
    words = ["pretrain", "--data", "no/such/folder", "--run-dir", folder]
    assert "argument --run-dir: must be " in refusal(words, capsys)
    words = ["pull", "hf://user/repo", folder, "--endpoint", "http://127.0.0.1:9"]
    assert "argument DIR: must be " in refusal(words, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_default_file_that_cannot_be_written_is_noticed_first(
    encoder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evaluation.json").mkdir()
    line = refusal(["evaluate", encoder], capsys)
    assert "must be a file" in line
    assert "`--out`" in line
    (tmp_path / "report.html").mkdir()
    assert "argument --out: must be a file" in refusal(["report", "run"], capsys)


@pytest.mark.parametrize("content", ["[1]", "3", "null", '"a"', "{", "\x00"])
def test_results_that_are_no_json_object_are_refused_first(
    content, encoder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for command in ("evaluate", "finetune"):
        name = {"evaluate": "evaluation.json", "finetune": "finetune.json"}[command]
        (tmp_path / name).write_text(content)
        line = refusal([command, encoder], capsys)
        assert f"{name} must hold a JSON object. Received: " in line
        assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize(
    ("words", "option"),
    [
        *(
            (["pretrain", "--learning-rate", value], "argument --learning-rate:")
            for value in ("0", "-1", "nan", "inf", "fast")
        ),
        (["pretrain", "--weight-decay=-1"], "argument --weight-decay:"),
        (["pretrain", "--warmup-epochs", "nan"], "argument --warmup-epochs:"),
        (["pretrain", "--epochs", "1e3"], "argument --epochs:"),
        (["pretrain", "--epochs", "9" * 30], "argument --epochs:"),
        (["pretrain", "--seed=-1"], "argument --seed:"),
        (["pretrain", "--microbatch-size", "0"], "argument --microbatch-size:"),
        (["pretrain", "--expander", "8,,8"], "argument --expander:"),
        (["pretrain", "--views", "none"], "`--views` must be one of"),
        (["pretrain", "--encoder", "resnet19"], "`--encoder` must be one of"),
        (["pretrain", "--width", "0.33"], "`--width` must be"),
        (["pretrain", "--batch-size", "5000"], "`--batch-size` must be"),
        (
            ["pretrain", "--encoder", "resnet18", "--optimizer", "sgd"],
            "`--learning-rate` must be given",
        ),
        *(
            (["finetune", "x", "--labels", value], "argument --labels:")
            for value in ("0", "1.1", "nan")
        ),
        (["finetune", "x", "--seeds", "0"], "argument --seeds:"),
        (["finetune", "x", "--head-rate", "0"], "argument --head-rate:"),
        (["preview", "--count", "0"], "argument --count:"),
        (["preview", "--count", "99999"], "`--count` must be"),
        (["preview", "--recipe", "none"], "`--recipe` must be one of"),
    ],
)
def test_what_an_option_must_be_is_said_in_its_name(
    words, option, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert option in refusal(words, capsys)
    assert not list(tmp_path.iterdir())  # of a failed run no folder is left


def test_a_log_has_one_line_an_epoch(flat, encoder, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert cli.main(["pretrain", "--data", flat, *TINY, "--run-dir", run]) == 0
    said = capsys.readouterr().out
    assert said.count("Epoch ") == 3
    assert len(said) < 1500
    assert not {"\r", "\x1b", "\b"} & set(said)
    words = ["--epochs", "2", "--out", str(tmp_path / "finetune.json")]
    data = str(save_splits(tmp_path / "labelled", {"train": 24, "test": 8}))
    assert cli.main(["finetune", str(encoder), "--data", data, *words]) == 0
    said = capsys.readouterr().out
    assert said.count("Epoch ") == 2
    assert len(said.splitlines()) < 8


def test_quiet_says_nothing_and_does_all(flat, encoder, tmp_path, capfd):
    run, out = tmp_path / "run", tmp_path / "representations.npz"
    words = ["--quiet", "--data", flat]
    assert cli.main(["pretrain", *words, *TINY, "--run-dir", str(run)]) == 0
    assert cli.main(["embed", str(encoder), *words, "--out", str(out)]) == 0
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "keras-vicreg" not in printed.err
    assert (run / "encoder").is_dir()
    assert out.is_file()


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_a_backend_that_is_not_installed_is_named_with_its_remedy(backend, tmp_path):
    """A module of its name that cannot be imported stands for one that is not there."""
    missing = f"raise ModuleNotFoundError('No module named x', name={backend!r})"
    (tmp_path / f"{backend}.py").write_text(missing)
    done = subprocess.run(
        [sys.executable, "-m", MODULE, "list", "--backend", backend],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"pip install 'keras-vicreg[{backend}]'" in line


@pytest.mark.parametrize(
    ("counts", "fraction", "short"),
    [((4, 400), 0.01, 1), ((40, 30, 20), 0.01, 3), ((40, 30), 0.1, 0), ((1, 1), 1, 0)],
)
def test_less_than_one_image_of_a_class_is_said(counts, fraction, short):
    labels = [number for number, count in enumerate(counts) for _ in range(count)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chosen = stratified_subset(labels, fraction)
    assert {labels[row] for row in chosen} == set(labels)
    said = [str(warning.message) for warning in caught]
    assert len(said) == (short > 0)
    assert all(
        f"one image of {short} of {len(counts)} classes" in line for line in said
    )
