"""Whatever a stranger's text holds, a terminal shows it and does nothing."""

import unicodedata
import warnings

import preset_toys
import pytest
from hostility import sign

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.commands import main as cli
from keras_vicreg.commands import presets as preset_commands
from keras_vicreg.presets import folder as folders
from keras_vicreg.terminal import printable

HOSTILE = {
    "title": "\x1b]0;owned\x07",
    "erased line": "good\x1b[2K\rbad",
    "hidden": "\x1b[8mhidden",
    "C1 introducer": "\x9b2K",
    "another row": "mit\nlicence         apache-2.0",
    "line separators": "a\x0b\x0c\x1c\x85\u2028\u2029b",
    "backspaces": "evil\x08\x08\x08\x08good",
    "bidi override": "\u202egnp.exe\u202c",
    "bidi isolate": "\u2066x\u2069\u061c\u200f",
    "invisible": "pay\u200bpal\ufeff\u00ad\U000e0041",
    "half a character": "\ud800",
    "delete and null": "\x7f\x00",
}
SPLIT = {"another row", "line separators"}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_but_characters_is_left(name):
    shown = printable(HOSTILE[name])
    assert all(unicodedata.category(char)[0] not in "C" for char in shown)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert shown.encode("ascii").decode("unicode_escape") == HOSTILE[name]


@pytest.mark.parametrize(
    "text", ["größe 5\u00a0%", "猫", "é", "a\\x1b", "😀", "l'image « claire »", ""]
)
def test_what_is_to_be_read_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_errors_about_presets_are_one_clean_line(name):
    message = str(kv.PresetError(f"a {HOSTILE[name]} b"))
    assert message.isprintable()
    assert message.startswith("a ")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "toy"
    zoo.save_to_preset(preset_toys.encoder(), folder, plain_keras=False)
    return folder


def hostile_manifest(text):
    """Every place of a manifest that a stranger may fill as he likes."""
    metric = {"name": text, "value": 0.5, "dataset": text, "split": text}
    return {
        "description": text,
        "license": text,
        "limits": text,
        "training": {text: text, "list": [text]},
        "dataset": {"name": text, "id": {text: text}},
        "versions": {text: text},
        "metrics": [metric, metric],
    }


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {"half a character"}))
def test_info_and_list_show_a_manifest_as_text(
    toy, tmp_path, name, monkeypatch, capsys
):
    target = tmp_path / "weights" / "toy\x1b[2K"
    target.mkdir(parents=True)
    for path in toy.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    preset_commands.info(str(target))
    clean = len(capsys.readouterr().out.splitlines())
    data = folders.read_manifest(toy)
    content = {"format": 1, **vars(data), **hostile_manifest(HOSTILE[name])}
    sign(target, content)
    preset_commands.info(str(target))
    out = capsys.readouterr().out
    # Two results more, and data, training, licence, description and limits.
    assert len(out.split("\n")) == clean + 1 + 7
    assert all(line.isprintable() for line in out.split("\n"))
    monkeypatch.setattr(
        "keras_vicreg.presets.built_in._weights_folder", lambda: tmp_path / "weights"
    )
    preset_commands.list_presets()
    (line, end) = capsys.readouterr().out.split("\n")
    assert line.isprintable()
    assert end == ""


def refused(*arguments, capsys):
    assert cli.main([*map(str, arguments)]) in (1, 2)
    (line, end) = capsys.readouterr().err.split("\n")
    assert line.isprintable()
    assert end == ""
    return line


def test_errors_of_commands_are_one_clean_line(toy, tmp_path, capsys):
    bad = tmp_path / "a\x1b[2K\u202e"
    bad.mkdir()
    (bad / "config.json").write_text('{"recipe": {"x\\u001b[2K": 1}}')
    (bad / "x.pth").write_bytes(b"\x80\x02cos\nsy\x1b[2Kstem\n)R.")
    for arguments in (
        ("info", tmp_path / "no\x1b[2K"),
        ("convert", bad / "x.pth", "--dry-run"),
        ("evaluate", bad),
        ("embed", toy, "--data", bad, "--out", tmp_path / "o.npz"),
        ("report", bad),
        ("pull", "hf://a\x1b/b", tmp_path / "p"),
    ):
        assert "\\x1b" in refused(*arguments, capsys=capsys)


def test_the_parser_is_clean_too(capsys):
    with pytest.raises(SystemExit):
        cli.main(["pretrain", "--seed", "\x1b[2K"])
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_warnings_of_commands_are_one_clean_line(monkeypatch):
    shown = []

    def command(*_, **__):
        warned = "left out: a\x1b[2K\nb", UserWarning, "file.py", 1
        shown.append(warnings.formatwarning(*warned))

    monkeypatch.setattr("keras_vicreg.zoo.find_manifest", command)
    before = warnings.formatwarning
    cli.main(["info", "x"])
    assert shown == ["keras-vicreg: warning: left out: a\\x1b[2K b\n"]
    assert warnings.formatwarning is before
