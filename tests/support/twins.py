"""Images for encoders, and a PyTorch ResNet beside ours with the same weights."""

import keras
import numpy as np
import pytest

import keras_vicreg as kv


def images(side, samples=2, channels=3, seed=0):
    shape = (samples, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype("float32")


def outputs(model, x, **options):
    return keras.ops.convert_to_numpy(model(x, **options))


def relative(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


def pytorch_twin(name, dtype="float32", **options):
    """A PyTorch ResNet with random weights and statistics, and ours with the same."""
    torch = pytest.importorskip("torch")
    from torch_resnet import TorchResNet, randomize

    peer = randomize(TorchResNet(name, **options)).to(getattr(torch, dtype)).eval()
    ours = kv.encoder(name, (None, None, 3), **options)
    copy_from_pytorch(peer, ours)
    return peer, ours


def copy_from_pytorch(peer, ours):
    # Copies, since JAX and torch may share the memory of what they are given.
    state = {key: value.numpy().copy() for key, value in peer.state_dict().items()}
    for layer in ours.layers:
        key = layer.name.replace("_", ".")
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([state[f"{key}.weight"].transpose(2, 3, 1, 0)])
        elif isinstance(layer, keras.layers.BatchNormalization):
            kinds = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([state[f"{key}.{kind}"] for kind in kinds])


def pytorch_outputs(peer, x):
    import torch

    with torch.no_grad():
        return peer(torch.from_numpy(x)).numpy()
