"""Whatever a training script put around a ResNet, the network is found in it."""

import warnings

import keras
import numpy as np
import pytest

import keras_vicreg as kv
from keras_vicreg.pytorch.checkpoint import read_checkpoint
from keras_vicreg.pytorch.convert import convert_torch

torch = pytest.importorskip("torch")

from checkpoint_layouts import LAYOUTS, barlow_full, mlp, under, with_fc  # noqa: E402
from torch_resnet import TorchResNet, randomize  # noqa: E402
from twins import relative  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")


@pytest.fixture(scope="module")
def networks():
    """Two networks of one layout with other weights: the wanted one, and a copy."""
    models = [TorchResNet("resnet18", width=1 / 16) for _ in range(2)]
    return [randomize(model, seed).eval() for seed, model in enumerate(models)]


@pytest.fixture(scope="module")
def states(networks):
    return [dict(network.state_dict()) for network in networks]


@pytest.fixture(scope="module")
def outputs(networks):
    """What PyTorch makes of the images."""
    with torch.no_grad():
        return [network(torch.from_numpy(IMAGES)).numpy() for network in networks]


@pytest.fixture(scope="module")
def encoder():
    """One encoder for all layouts: to build it takes longer than all else."""
    return kv.encoder("resnet18", (32, 32, 3), width=1 / 16)


def difference(encoder, expected):
    return relative(keras.ops.convert_to_numpy(encoder(IMAGES)), expected)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name, states, outputs, encoder, tmp_path):
    """The output is that of the wanted network, in PyTorch's old format and new."""
    zipped = len(name) % 2 == 0
    content = LAYOUTS[name](*states)
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = convert_torch(path, encoder)
    assert isinstance(model, kv.VICReg) == name.startswith("VICReg")
    assert difference(encoder, outputs[0]) < 1e-5


@pytest.mark.parametrize(
    "name",
    [
        *("resnet20", "resnet56"),
        *(pytest.param(f"resnet{n}", marks=pytest.mark.slow) for n in (32, 44)),
    ],
)
def test_networks_of_three_stages(name, tmp_path):
    network = randomize(TorchResNet(name, "cifar", width=0.25, classes=10)).eval()
    torch.save({"net": under("module.", network.state_dict())}, tmp_path / "a.pth")
    encoder = convert_torch(tmp_path / "a.pth")
    assert encoder.name == name
    with torch.no_grad():
        expected = network(torch.from_numpy(IMAGES)).numpy()
    assert difference(encoder, expected) < 1e-5


def test_the_choice_among_networks_is_said_and_the_callers(states, outputs, tmp_path):
    content = LAYOUTS["DINO"](*states)
    torch.save(content, tmp_path / "a.pth")
    with pytest.warns(UserWarning, match="holds 2 networks: 'teacher.backbone.' was"):
        convert_torch(tmp_path / "a.pth")
    encoder = kv.encoder("resnet18", (32, 32, 3), width=1 / 16)
    for prefix in ("student", "module.backbone.", "student.module.backbone"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            convert_torch(tmp_path / "a.pth", encoder, prefix=prefix)
        assert difference(encoder, outputs[1]) < 1e-5


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (None, r"which are 'state_dict\.', 'state_dict_ema\.'\. Received: prefix=None"),
        ("model", "'state_dict_ema.'. Received: prefix='model'"),
        ("", "Received: prefix=''"),
        (3, "Received: prefix=3"),
    ],
)
def test_networks_of_one_rank_are_listed(states, tmp_path, prefix, message):
    wanted, copy = states
    torch.save({"state_dict": wanted, "state_dict_ema": copy}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=f"`prefix` must name one of.*{message}"):
        read_checkpoint(tmp_path / "a.pth", prefix)


def test_all_that_is_left_out_is_listed(states, tmp_path):
    torch.save(LAYOUTS["MoCo"](*states), tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert checkpoint.prefix == "state_dict.module.encoder_q."
    assert checkpoint.others == ("state_dict.module.encoder_k.",)
    counters = sum(key.endswith("num_batches_tracked") for key in states[0])
    parts = {
        "state_dict.module.encoder_k.": len(states[0]) - counters + 2,
        "state_dict.module.encoder_q.fc.": 2,
        "state_dict.module.queue": 1,
        "state_dict.module.queue_ptr": 1,
        "optimizer.": 2,
        "num_batches_tracked": 2 * counters,
    }
    assert checkpoint.left_out() == parts
    assert len(checkpoint.unused) == sum(parts.values())
    assert len(checkpoint.backbone) + counters == len(states[0])


def test_a_projector_of_other_form_is_left_out_and_that_is_said(states, tmp_path):
    content = barlow_full(*states)
    torch.save(content, tmp_path / "a.pth")
    with pytest.warns(UserWarning, match="its projector is no expander of VICReg"):
        assert convert_torch(tmp_path / "a.pth").name == "resnet18"


@pytest.mark.parametrize(
    "head",
    [
        mlp("projector.", 12, 8, last_bias=True),
        mlp("projector.", 12, 8, features=16),
        mlp("projector.layers.", 12, 8),
        under("projector.", {"0.weight": torch.ones(8)}),
        mlp("projector.", 12, 8) | {"projector.9.weight": torch.ones(4, 8)},
        mlp("projector.", 12, 8) | {"projector.scale": torch.ones(())},
    ],
)
def test_heads_that_are_no_expander(states, tmp_path, head):
    torch.save(under("backbone.", states[0]) | head, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert checkpoint.units is None
    assert checkpoint.lacks_projector


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # CLIP's ResNet has two convolutions more in its stem.
        ({"conv2.weight": torch.ones(4, 4, 3, 3)}, r"1 unexpected \(conv2\.weight\)"),
        ({"attnpool.k_proj.bias": torch.ones(4)}, "1 unexpected"),
        ({"bn.running_mean": torch.ones(4)}, "1 unexpected"),
        ({"layer1.0.se.fc1.weight": torch.ones(4)}, "1 unexpected"),
    ],
)
def test_what_is_part_of_a_network_has_its_place(states, tmp_path, change, message):
    torch.save(states[0] | change, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message):
        convert_torch(tmp_path / "a.pth")


class Wrapped(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("around", [lambda m: m, lambda m: {"model": m, "best": 0.1}])
def test_whole_modules_are_refused_with_what_to_save(
    networks, tmp_path, around, zipped
):
    path = tmp_path / "a.pth"
    content = around(Wrapped(networks[0]))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ValueError, match=r"whole pickled module, .*Wrapped.*state_dict"
    ):
        convert_torch(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"patch_embed.proj.weight": torch.ones(8, 3, 4, 4)}, "a vision transformer"),
        ({"state_dict": with_fc({})}, r"no conv1\.weight beside layer1\.0\.conv1"),
        ({"stem.0.weight": torch.ones(8, 3, 4, 4)}, "its keys are stem.0.weight"),
        ({"\x1b[2Kkey": torch.ones(1)}, r"its keys are \\x1b\[2Kkey"),
    ],
)
def test_other_networks_are_refused_by_their_keys(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message):
        convert_torch(tmp_path / "a.pth")


def test_programs_of_torchscript_are_refused_with_what_to_save(networks, tmp_path):
    module = torch.jit.trace(torch.nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8))
    torch.jit.save(module, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"program of TorchScript.*\.state_dict\(\)"):
        convert_torch(tmp_path / "a.pt")
