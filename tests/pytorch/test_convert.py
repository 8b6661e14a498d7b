"""PyTorch checkpoints become encoders and models with the same numbers, and back."""

import hashlib
import itertools
import os

import keras
import numpy as np
import pytest

import keras_vicreg as kv
from keras_vicreg.pytorch.checkpoint import read_checkpoint
from keras_vicreg.pytorch.convert import convert_torch, export_torch

torch = pytest.importorskip("torch")

from torch_resnet import TorchResNet, randomize  # noqa: E402


def images(side=64, samples=2):
    shape = (samples, side, side, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


def relative(actual, expected):
    actual = keras.ops.convert_to_numpy(actual)
    expected = expected.detach().numpy()
    return np.abs(actual - expected).max() / np.abs(expected).max()


def peer(name="resnet18", **options):
    return randomize(TorchResNet(name, **options)).eval()


def exclude_bias_and_norm(p):
    """What the authors' optimizer state refers to, and no reader has."""
    return p.ndim == 1


def full_checkpoint(backbone, units=(24, 24, 16)):
    """A checkpoint of the authors' training script, and its projector."""
    sizes = (backbone.features, *units)
    modules = []
    for before, after in itertools.pairwise(sizes[:-1]):
        linear = torch.nn.Linear(before, after)
        modules += [linear, torch.nn.BatchNorm1d(after), torch.nn.ReLU()]
    modules.append(torch.nn.Linear(*sizes[-2:], bias=False))
    projector = randomize(torch.nn.Sequential(*modules)).eval()
    state = {f"module.backbone.{k}": v for k, v in backbone.state_dict().items()}
    state |= {f"module.projector.{k}": v for k, v in projector.state_dict().items()}
    momentum = {0: {"mu": torch.zeros(3)}}
    group = {"lr": 0.2, "params": [0], "weight_decay_filter": exclude_bias_and_norm}
    optimizer = {"state": momentum, "param_groups": [group]}
    return {"epoch": 9, "model": state, "optimizer": optimizer}, projector


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "layout",
    ["backbone", "torchvision", "timm", "wrapped", "legacy", "distributed"],
)
def test_encoders_give_pytorchs_numbers(tmp_path, layout):
    path = tmp_path / "resnet.pth"
    # torchvision's and timm's have a classifier; timm's are safetensors files.
    model = peer(classes=10 if layout in ("torchvision", "timm") else None)
    state = model.state_dict()
    if layout == "timm":
        from safetensors.torch import save_file

        path = tmp_path / "model.safetensors"
        save_file(state, path)
    elif layout == "wrapped":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif layout == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    elif layout == "distributed":
        torch.save({f"module.{k}": v for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    encoder = convert_torch(path)
    x = images(224)
    assert encoder.input_shape == (None, 224, 224, 3)
    assert relative(encoder(x), model(torch.from_numpy(x))) < 1e-5


@pytest.mark.parametrize(
    ("name", "stem", "width"),
    [
        ("resnet34", "imagenet", 0.25),
        ("resnet50", "imagenet", 1),
        ("resnet50", "cifar", 0.25),
        ("resnet101", "imagenet", 0.125),
        pytest.param("resnet50x2", "imagenet", 1, marks=pytest.mark.slow),
        pytest.param("resnet200x2", "imagenet", 1, marks=pytest.mark.slow),
    ],
)
def test_the_architecture_is_read_from_the_keys(tmp_path, name, stem, width):
    model = peer(name, stem=stem, width=width)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert (checkpoint.name, checkpoint.units) == (name, None)
    assert checkpoint.options == {"stem": stem, "width": width}
    encoder = convert_torch(tmp_path / "a.pth")
    side = 224 if stem == "imagenet" else 32
    x = images(side, samples=1)
    tolerance = 2e-4 if name == "resnet200x2" else 1e-5
    assert relative(encoder(x), model(torch.from_numpy(x))) < tolerance


def test_a_full_checkpoint_becomes_a_model_to_train_on(tmp_path):
    backbone = peer(stem="cifar", width=0.25)
    content, projector = full_checkpoint(backbone)
    torch.save(content, tmp_path / "model.pth")
    checkpoint = read_checkpoint(tmp_path / "model.pth")
    assert checkpoint.units == (24, 24, 16)
    data = (tmp_path / "model.pth").read_bytes()
    assert checkpoint.sha256 == hashlib.sha256(data).hexdigest()

    model = convert_torch(tmp_path / "model.pth")
    assert isinstance(model, kv.VICReg)
    x = images(32, samples=16)
    expected = projector(backbone(torch.from_numpy(x)))
    assert relative(model(x), expected) < 1e-5
    model.compile(keras.optimizers.SGD(1e-3))
    history = model.fit((x, x * 0.9), batch_size=16, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][1] < history["loss"][0]


def test_an_encoder_of_ones_own_is_filled(tmp_path):
    model = peer(width=0.25)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    mine = kv.encoder("resnet18", (None, None, 3), width=0.25)
    assert convert_torch(tmp_path / "a.pth", mine) is mine
    x = images(97)
    assert relative(mine(x), model(torch.from_numpy(x))) < 1e-5


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_there_and_back_is_exact(tmp_path, suffix):
    """Keras -> PyTorch, loaded strictly and with the same output -> Keras."""
    encoder = kv.encoder("resnet50", (64, 64, 3), width=0.25)
    rng = np.random.default_rng(0)
    values = [rng.uniform(0.05, 0.1, w.shape) for w in encoder.get_weights()]
    encoder.set_weights(values)
    path = tmp_path / f"exported{suffix}"
    export_torch(encoder, path)
    if suffix == ".pth":
        state = torch.load(path, weights_only=True)
    else:
        from safetensors.torch import load_file

        state = load_file(path)
    model = TorchResNet("resnet50", width=0.25).eval()
    model.load_state_dict(state, strict=True)
    assert relative(encoder(images()), model(torch.from_numpy(images()))) < 1e-5
    back = convert_torch(path, kv.encoder("resnet50", (64, 64, 3), width=0.25))
    for ours, original in zip(back.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, original)


def test_half_precision_files_are_widened(tmp_path):
    model = peer(width=0.25).bfloat16()
    torch.save(model.state_dict(), tmp_path / "half.pth")
    encoder = convert_torch(tmp_path / "half.pth")
    kernel = model.conv1.weight.float().detach().numpy().transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(encoder.get_layer("conv1").get_weights()[0], kernel)


def without(state, *keys):
    return {k: v for k, v in state.items() if k not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: without(s, "layer2.0.bn1.bias", "bn1.running_var"),
            r"2 missing \(bn1\.running_var, layer2\.0\.bn1\.bias\)$",
        ),
        (
            lambda s: s | {"layer1.0.se.weight": torch.ones(3)},
            r"1 unexpected \(layer1\.0\.se\.weight\)$",
        ),
        (
            lambda s: s | {"layer1.0.conv2.weight": torch.ones(16, 4, 3, 3)},
            r"1 wrongly shaped \(layer1\.0\.conv2\.weight \(16, 4, 3, 3\) for "
            r"\(16, 16, 3, 3\)\)$",
        ),
        (
            lambda s: without(s, "bn1.bias") | {"bn1.beta": torch.ones(16)},
            r"1 missing \(bn1\.bias\); 1 unexpected \(bn1\.beta\)$",
        ),
        (lambda s: s | {"bn1.bias": s["bn1.bias"].long()}, "floating point.*bn1.bias"),
        (lambda s: s | {"bn1.bias": s["bn1.bias"] * torch.nan}, "finite.*bn1.bias"),
        (lambda s: without(s, "conv1.weight"), "layout of one of `kv.ENCODERS`"),
        (lambda s: s | {"layer5.0.conv1.weight": s["bn1.bias"]}, "layout of one of"),
        (lambda s: {"fc.weight": torch.ones(2, 2)}, "layout of one of `kv.ENCODERS`"),
        (lambda s: {"epoch": 3}, "must hold a state dict"),
        (lambda s: [1, 2], "must hold a state dict"),
        (lambda s: {"model": {"model": {}}}, "must hold a state dict"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, change, message):
    torch.save(change(peer(width=0.25).state_dict()), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message):
        convert_torch(tmp_path / "a.pth")


def test_nothing_is_assigned_unless_everything_fits(tmp_path):
    state = without(peer(width=0.25).state_dict(), "layer4.1.bn2.bias")
    torch.save(state, tmp_path / "a.pth")
    mine = kv.encoder("resnet18", (32, 32, 3), width=0.25)
    before = mine.get_weights()
    with pytest.raises(ValueError, match="1 missing"):
        convert_torch(tmp_path / "a.pth", mine)
    for value, old in zip(mine.get_weights(), before):
        np.testing.assert_array_equal(value, old)


def test_a_network_that_overflows_fails_the_smoke_test(tmp_path):
    model = peer(width=0.25)
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 4:
                value.fill_(1e30)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="finite outputs"):
        convert_torch(tmp_path / "a.pth")


def test_export_takes_residual_networks_only(tmp_path):
    for model in (
        kv.encoder("vit_tiny", (32, 32, 3)),
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]),
    ):
        with pytest.raises(ValueError, match="must be"):
            export_torch(model, tmp_path / "a.pth")
    assert os.listdir(tmp_path) == []
