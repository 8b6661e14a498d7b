"""Encoders: PyTorch's numbers, plain Keras when saved, known by their layers."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vicreg as kv
from keras_vicreg.deferred_variables import deferred_variables
from keras_vicreg.encoders import describe_encoder
from keras_vicreg.encoders.resnet import resnet

BACKEND = keras.config.backend()
on_every_backend = pytest.mark.every_backend
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow only")


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


@on_every_backend
@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet50x2"])
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
    x = images(97)
    assert relative(outputs(ours, x), pytorch_outputs(peer, x)) < 2e-4


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@on_tensorflow
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
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


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet50", 23_508_032),
        ("resnet50x2", 93_907_072),
        pytest.param("resnet200x2", 250_128_512, marks=pytest.mark.slow),
    ],
)
def test_parameters_are_the_papers(name, parameters):
    weights = kv.encoder(name).trainable_variables
    assert sum(int(np.prod(v.shape)) for v in weights) == parameters


def test_initialization():
    """Kaiming normal by fan-out; the last gamma of a block is zero, others one."""
    model = kv.encoder("resnet50", (32, 32, 3))
    kernel = keras.ops.convert_to_numpy(model.get_layer("layer3_1_conv2").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 256)), rel=0.01)
    assert np.abs(kernel).max() > 3.5 * kernel.std()  # not truncated
    for name, value in (("bn1", 1), ("bn2", 1), ("bn3", 0), ("downsample_1", 1)):
        gamma = model.get_layer(f"layer2_0_{name}").gamma
        assert np.all(keras.ops.convert_to_numpy(gamma) == value)
    norm = model.get_layer("bn1")
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


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


@pytest.mark.parametrize(
    ("name", "parameters"),
    # timm's of the same name, less class token, its position and the patch bias
    [("vit_tiny", 5_524_416 - 3 * 192), ("vit_small", 21_665_664 - 3 * 384)],
)
def test_vit_parameters(name, parameters):
    assert kv.encoder(name).count_params() == parameters


def test_input_is_raw_images():
    """uint8 and float give the same; channels are normalised one by one."""
    model = kv.encoder(
        "resnet18", (32, 32, 3), width=0.25, mean=[0, 0.5, 1], std=[1] * 3
    )
    x = images(32)
    np.testing.assert_array_equal(outputs(model, x.astype("uint8")), outputs(model, x))
    normalized = keras.Model(model.input, model.get_layer("normalization").output)
    np.testing.assert_allclose(outputs(normalized, x), x / 255 - [0, 0.5, 1], atol=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="set for channels last")
def test_a_configuration_of_channels_first_changes_nothing():
    model = kv.encoder("resnet18", (32, 32, 3), width=0.25)
    keras.config.set_image_data_format("channels_first")
    try:
        same = kv.encoder("resnet18", (32, 32, 3), width=0.25)
        same.set_weights(model.get_weights())
        np.testing.assert_array_equal(
            outputs(same, images(32)), outputs(model, images(32))
        )
    finally:
        keras.config.set_image_data_format("channels_last")


def test_feature_maps_are_reachable_by_name():
    model = kv.encoder("resnet50", (64, 96, 3), width=0.25)
    shapes = [model.get_layer(f"layer{i}").output.shape for i in (1, 2, 3, 4)]
    assert [s[1:] for s in shapes] == [
        (16, 24, 64),
        (8, 12, 128),
        (4, 6, 256),
        (2, 3, 512),
    ]
    vit = kv.encoder("vit_tiny", (64, 96, 3))
    assert vit.get_layer("feature_map").output.shape[1:] == (4, 6, 192)


LOAD = """
import json, sys, os
import keras, numpy as np
results = {}
for path in sys.argv[2:]:
    model = keras.saving.load_model(path)
    x = np.load(sys.argv[1])
    results[path] = keras.ops.convert_to_numpy(model(x)).tolist()
assert not any(name.startswith("keras_vicreg") for name in sys.modules)
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two encoders as `.keras` files and folders, images, and what they give."""
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "images.npy", images(32))
    expected = {}
    for name, options in (
        ("resnet18", {"stem": "cifar", "width": 0.25}),
        ("vit_tiny", {"patch_size": 8}),
    ):
        model = kv.encoder(name, (32, 32, 3), **options)
        model.save(folder / f"{name}.keras")
        model.save(folder / name, zipped=False)
        for path in (folder / f"{name}.keras", folder / name):
            expected[str(path)] = outputs(model, images(32))
    return folder, expected


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_saved_encoders_load_without_this_package(saved, backend):
    pytest.importorskip(backend)
    folder, expected = saved
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    run = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder / "images.npy"), *expected],
        cwd=folder,
        env={**environment, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    results = json.loads(run.stdout.splitlines()[-1])
    for path, values in expected.items():
        assert relative(np.array(results[path]), values) < 1e-6, path


@on_tensorflow
def test_exported_encoder_takes_raw_images(tmp_path):
    import tensorflow as tf

    model = kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=0.25)
    model.export(str(tmp_path / "served"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(
        served.serve(images(32)), outputs(model, images(32)), 1e-5
    )


@pytest.mark.parametrize(
    ("name", "image_shape", "options"),
    [
        ("resnet18", (32, 32, 3), {"stem": "cifar", "width": 0.25}),
        ("resnet50", (None, None, 3), {"mean": [0, 0.5, 0.25], "std": [1, 0.3, 1 / 3]}),
        ("resnet101", (64, 64, 3), {"width": 0.125}),
        ("resnet50x2", (64, 64, 1), {"width": 0.75, "mean": [0.5], "std": [0.2]}),
        ("vit_tiny", (32, 48, 3), {"patch_size": 16}),
    ],
)
def test_description_rebuilds_the_encoder(name, image_shape, options, tmp_path):
    model = kv.encoder(name, image_shape, **options)
    described, complete = describe_encoder(model)
    assert json.loads(json.dumps(complete)) == complete
    copy = kv.encoder(described, **complete)
    assert describe_encoder(copy) == (described, complete)
    if name != "resnet50x2":  # 1.5 times resnet50 as well
        assert described == name
        assert options.items() <= complete.items() or "std" in options
    if None not in image_shape:
        copy.set_weights(model.get_weights())
        x = images(64, channels=image_shape[-1])[:, : image_shape[0], : image_shape[1]]
        np.testing.assert_array_equal(outputs(copy, x), outputs(model, x))
    model.save(tmp_path / "renamed.keras")
    assert describe_encoder(keras.saving.load_model(tmp_path / "renamed.keras")) == (
        described,
        complete,
    )


@pytest.mark.parametrize("name", kv.ENCODERS)
def test_every_encoder_is_described(name):
    with deferred_variables(keep=False):
        model = kv.encoder(name)
        assert describe_encoder(model)[0] == name


def altered(change):
    model = kv.encoder("resnet18", (32, 32, 3), width=0.25)
    change(model)
    return model


@pytest.mark.parametrize(
    "model",
    [
        None,
        keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()]),
        altered(lambda m: setattr(m.get_layer("layer1_0_bn1"), "epsilon", 1e-3)),
        altered(lambda m: setattr(m.get_layer("layer2_0_conv1"), "strides", (1, 1))),
        altered(
            lambda m: setattr(m.get_layer("normalization"), "scale", [[[9, 9, 9]]])
        ),
        resnet("basic", (1, 1, 1, 1), 1, (32, 32, 3)),
    ],
)
def test_other_models_are_not_described(model):
    with pytest.raises(ValueError, match=r"made by `kv\.encoder`"):
        describe_encoder(model)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet19", {}, "`name` must be one of resnet18"),
        (["resnet18"], {}, "`name` must be one of"),
        ("resnet18", {"stem": "imagenette"}, "`stem` must be"),
        ("resnet18", {"patch_size": 4}, "among stem, width, mean, std"),
        ("vit_tiny", {"width": 1}, "among patch_size, mean, std"),
        *(
            ("resnet50x2", {"width": width}, "`width` must be")
            for width in (0, -1, 2.5, 1e9, 0.33, True, None, "1", float("nan"))
        ),
        *(
            ("resnet18", {"image_shape": shape}, "`image_shape` must be")
            for shape in (
                *(None, 32, (32, 32), (0, 32, 3), (32, 1 << 20, 3), (32.0, 32, 3)),
                *((32, 32, None), (32, 32, 10_000), (True, 32, 3), "abc"),
            )
        ),
        ("resnet18", {"image_shape": (32, 32, 1)}, "a list of 1 numbers"),
        ("resnet18", {"mean": [0.5] * 4}, "`mean` must be"),
        ("resnet18", {"mean": [0.5, float("inf"), 0]}, "`mean` must be"),
        ("resnet18", {"std": [0.5, 0.5, 0]}, "`std` must be"),
        ("resnet18", {"std": 0.5}, "`std` must be"),
        ("vit_tiny", {"patch_size": 0}, "`patch_size` must be"),
        ("vit_tiny", {"patch_size": 16.0}, "`patch_size` must be"),
        ("vit_tiny", {"patch_size": 15}, "multiples of the patch size"),
        ("vit_tiny", {"image_shape": (None, None, 3)}, "multiples of the patch size"),
        ("vit_tiny", {"patch_size": 1}, "16384 patches at most"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        kv.encoder(name, **options)
