"""Encoders give PyTorch's numbers, from the same weights, and train as PyTorch does."""

import keras
import numpy as np
import pytest
from twins import (
    copy_from_pytorch,
    images,
    outputs,
    pytorch_outputs,
    pytorch_twin,
    relative,
)

import keras_vicreg as kv

on_every_backend = pytest.mark.every_backend
on_tensorflow = pytest.mark.skipif(
    keras.config.backend() != "tensorflow",
    reason="elsewhere Keras normalises in float32 whatever the dtype",
)


@on_every_backend
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        pytest.param("resnet34", marks=pytest.mark.slow_elsewhere),
        pytest.param("resnet50", marks=pytest.mark.slow_elsewhere),
        pytest.param("resnet50x2", marks=pytest.mark.slow),
    ],
)
def test_outputs_are_pytorchs(name):
    peer, ours = pytorch_twin(name)
    for side in (224, 97, 32):
        x = images(side)
        assert relative(outputs(ours, x), pytorch_outputs(peer, x)) < 1e-5, side


@on_every_backend
@pytest.mark.parametrize("width", [1, 0.25])
def test_outputs_with_the_cifar_stem_are_pytorchs(width):
    peer, ours = pytorch_twin("resnet18", stem="cifar", width=width)
    x = images(32)
    assert relative(outputs(ours, x), pytorch_outputs(peer, x)) < 1e-5


@pytest.mark.slow
@on_every_backend
def test_outputs_of_the_deepest_are_pytorchs():
    peer, ours = pytorch_twin("resnet200x2")
    for side in (224, 97, 32):
        x = images(side, samples=1)
        assert relative(outputs(ours, x), pytorch_outputs(peer, x)) < 2e-4, side


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@on_tensorflow
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        pytest.param("resnet34", marks=pytest.mark.slow),
        pytest.param("resnet50x2", marks=pytest.mark.slow),
    ],
)
def test_outputs_are_pytorchs_in_float64(name, float64):
    peer, ours = pytorch_twin(name, "float64")
    for side in (224, 97, 32):
        x = images(side).astype("float64")
        assert relative(outputs(ours, x), pytorch_outputs(peer, x)) < 1e-12, side


@on_every_backend
def test_three_training_steps_follow_pytorch():
    """In float32, with all activations far from the kink of a ReLU: one that rounding
    brings to the other side moves PyTorch's own gradients by 3e-3."""
    train_beside_pytorch("float32", off_kinks, tolerance=1e-4)


def off_kinks(peer):
    for name, value in peer.state_dict().items():
        if ".bn1." in name or name.startswith("bn1."):
            if name.endswith("bias"):  # half of the channels on, half of them off
                value[::2], value[1::2] = 2, -2
        elif name.endswith("bias"):
            value.fill_(2)
        if value.dim() == 1 and name.endswith("weight"):
            value.mul_(0.25)


@on_tensorflow
def test_three_training_steps_follow_pytorch_in_float64(float64):
    train_beside_pytorch("float64", lambda peer: None, tolerance=1e-9)


def train_beside_pytorch(dtype, prepare, tolerance, samples=16):
    torch = pytest.importorskip("torch")
    rate = 1 / 16  # exact, also where Keras keeps it in float32
    peer, ours = pytorch_twin("resnet18", dtype, stem="cifar", width=0.25)
    prepare(peer)
    copy_from_pytorch(peer, ours)
    ours.compile(keras.optimizers.SGD(rate), loss="mse")
    optimizer = torch.optim.SGD(peer.train().parameters(), rate)
    for step in range(3):
        x = images(32, samples, seed=step).astype(dtype)
        target = np.random.default_rng(step).normal(size=(samples, 128)).astype(dtype)
        y = peer(torch.from_numpy(x))
        expected = y.detach().numpy()
        assert relative(outputs(ours, x, training=True), expected) < tolerance
        before = by_pytorch_name(ours)
        peer_before = {k: v.detach().clone() for k, v in peer.named_parameters()}
        optimizer.zero_grad()
        ((y - torch.from_numpy(target)) ** 2).mean().backward()
        optimizer.step()
        ours.train_on_batch(x, target)
        after = by_pytorch_name(ours)
        for name, value in peer.named_parameters():
            # The weights' moves are the gradients, times the rate.
            expected = (value.detach() - peer_before[name]).numpy()
            difference = np.linalg.norm(after[name] - before[name] - expected)
            resolution = 2 * np.finfo(dtype).eps * np.linalg.norm(before[name])
            limit = tolerance * np.linalg.norm(expected) + resolution
            assert difference < limit, (step, name)


def by_pytorch_name(model):
    """PyTorch's name of each trainable weight -> value in PyTorch's order of axes."""
    named = {}
    for layer in model.layers:
        key = layer.name.replace("_", ".")
        # Copies: JAX may show memory that the next step overwrites.
        values = [
            np.array(v) for v in layer.get_weights()[: len(layer.trainable_weights)]
        ]
        if isinstance(layer, keras.layers.Conv2D):
            named[f"{key}.weight"] = values[0].transpose(3, 2, 0, 1)
        elif values:
            named[f"{key}.weight"], named[f"{key}.bias"] = values
    return named


@on_every_backend
def test_vit_is_a_vit():
    """Against PyTorch's own attention, normalisation, GELU and convolution."""
    torch = pytest.importorskip("torch")
    model = kv.encoder("vit_tiny", (48, 32, 3), patch_size=16)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    x = rng.integers(0, 256, (2, 48, 32, 3)).astype("float32")
    with torch.no_grad():
        expected = torch_vit(model, torch.from_numpy(x)).numpy()
    assert relative(outputs(model, x), expected) < 1e-5


def torch_vit(model, x):
    """A pre-norm ViT with mean pooling, from the weights of `model`."""
    import torch
    from torch.nn import functional as F

    def weights(name):
        return [
            torch.from_numpy(np.array(w)) for w in model.get_layer(name).get_weights()
        ]

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], *weights(name), eps=1e-6)

    def dense(x, name):
        kernel, bias = weights(name)
        return x @ kernel + bias

    x = x / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    kernel, positions = weights("patch_embed")
    x = F.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), stride=16)
    x = (x.permute(0, 2, 3, 1) + positions).flatten(1, 2)  # (batch, patches, features)
    for block in (f"blocks_{i}" for i in range(12)):
        y = norm(x, f"{block}_norm1")
        wq, bq, wk, bk, wv, bv, wo, bo = weights(f"{block}_attn")
        q, k, v = (
            torch.einsum("bpf,fhd->bhpd", y, w) + b[:, None]
            for w, b in ((wq, bq), (wk, bk), (wv, bv))
        )
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + torch.einsum("bhpd,hdf->bpf", y, wo) + bo
        y = dense(norm(x, f"{block}_norm2"), f"{block}_mlp_fc1")
        x = x + dense(F.gelu(y), f"{block}_mlp_fc2")
    return norm(x, "norm").mean(1)
