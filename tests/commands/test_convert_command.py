"""`keras-vicreg convert`: a PyTorch checkpoint becomes a preset, or nothing does."""

import hashlib

import numpy as np
import pytest

import keras_vicreg as kv
from keras_vicreg.commands import main as cli


@pytest.fixture
def checkpoint(tmp_path):
    """A PyTorch file of a small ResNet, and the encoder it is of."""
    encoder = kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=0.0625)
    kv.export_torch(encoder, tmp_path / "backbone.pth")
    return tmp_path / "backbone.pth", encoder


def test_convert_writes_a_preset(checkpoint, tmp_path, capsys):
    path, encoder = checkpoint
    assert cli.main(["convert", str(path), "--out", str(tmp_path / "preset")]) == 0
    out = capsys.readouterr().out
    assert hashlib.sha256(path.read_bytes()).hexdigest() in out
    loaded = kv.from_preset(str(tmp_path / "preset"))
    x = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    assert np.array_equal(loaded.predict(x, verbose=0), encoder.predict(x, verbose=0))


def test_a_dry_run_writes_nothing(checkpoint, tmp_path, capsys):
    path, _ = checkpoint
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["convert", str(path), "--dry-run"]) == 0
    assert "resnet18" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", [b"not a checkpoint", b"", None])
def test_what_is_no_checkpoint_is_refused(content, checkpoint, tmp_path, capsys):
    path, _ = checkpoint
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert cli.main(["convert", str(path), "--out", str(tmp_path / "preset")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "preset").exists()


def test_the_target_must_be_named(checkpoint, capsys):
    assert cli.main(["convert", str(checkpoint[0])]) == 2
    assert "`--out` must name a folder" in capsys.readouterr().err


@pytest.fixture
def two_networks(tmp_path):
    """A file with the query and the key encoder of MoCo, and its queue."""
    torch = pytest.importorskip("torch")
    from checkpoint_layouts import moco
    from torch_resnet import TorchResNet

    states = [TorchResNet("resnet18", width=1 / 16).state_dict() for _ in range(2)]
    torch.save(moco(*states), tmp_path / "moco.pth.tar")
    return str(tmp_path / "moco.pth.tar")


def test_what_was_taken_and_what_was_left_out_is_said(two_networks, capsys):
    assert cli.main(["convert", two_networks, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "taken: state_dict.module.encoder_q." in lines
    assert "left out: state_dict.module.encoder_k. (102 tensors)" in lines
    assert "left out: state_dict.module.queue (1 tensor)" in lines


def test_the_network_to_take_can_be_named(two_networks, capsys):
    options = ["convert", two_networks, "--dry-run", "--prefix"]
    assert cli.main([*options, "encoder_k"]) == 0
    assert "taken: state_dict.module.encoder_k." in capsys.readouterr().out
    assert cli.main([*options, "encoder"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'state_dict.module.encoder_q.', 'state_dict.module.encoder_k.'" in line
