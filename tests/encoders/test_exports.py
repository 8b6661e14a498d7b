"""Encoders elsewhere: in plain Keras, TensorFlow and ONNX, without this package."""

import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from twins import images, outputs, relative

import keras_vicreg as kv

BACKEND = keras.config.backend()
LOAD = """
import json, sys
import keras, numpy as np
results = {}
x = np.load(sys.argv[1])
for path in sys.argv[2:]:
    model = keras.saving.load_model(path)
    if keras.config.backend() == "jax":  # operation by operation it is slow
        import jax
        model = jax.jit(model)
    results[path] = keras.ops.convert_to_numpy(model(x)).tolist()
assert not any(name.startswith("keras_vicreg") for name in sys.modules)
print(json.dumps(results))
"""
SERVE = """
import json, sys
import numpy as np, tensorflow as tf
x = np.load(sys.argv[1])
results = {}
for path in sys.argv[2:]:
    served = tf.saved_model.load(path)
    raw = x.astype("uint8") if path.endswith("uint8") else x
    results[path] = served.serve(raw).numpy().tolist()
assert not any(name.startswith("keras_vicreg") for name in sys.modules)
print(json.dumps(results))
"""


OPTIONS = {
    "resnet18": {"stem": "cifar", "width": 0.25},
    "resnet50": {"width": 0.0625},
    "vit_tiny": {"patch_size": 8},
}


@functools.cache
def trained(name):
    """An encoder whose statistics and gammas are none of their defaults."""
    model = kv.encoder(name, (32, 32, 3), **OPTIONS[name])
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1, w.shape) for w in layer.weights])
    return model


def in_another_process(script, folder, paths, backend):
    """What `script` prints of the images, run where this package is not."""
    np.save(folder / "images.npy", images(32))
    run = subprocess.run(
        [sys.executable, "-c", script, str(folder / "images.npy"), *map(str, paths)],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Encoders as `.keras` files and as folders, and what they give."""
    folder = tmp_path_factory.mktemp("saved")
    expected = {}
    for name in ("resnet18", "vit_tiny"):
        model = trained(name)
        model.save(folder / f"{name}.keras")
        model.save(folder / name, zipped=False)
        for path in (folder / f"{name}.keras", folder / name):
            expected[str(path)] = outputs(model, images(32))
    return folder, expected


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_saved_encoders_load_without_this_package(saved, backend):
    pytest.importorskip(backend)
    folder, expected = saved
    results = in_another_process(LOAD, folder, expected, backend)
    for path, values in expected.items():
        assert relative(np.array(results[path]), values) < 1e-6, path


def as_bytes(samples=None):
    return [keras.InputSpec(shape=(samples, 32, 32, 3), dtype="uint8", name="images")]


@pytest.mark.skipif(BACKEND == "torch", reason="Keras exports no SavedModel from it")
@pytest.mark.parametrize(
    "name", ["resnet18", pytest.param("vit_tiny", marks=pytest.mark.slow)]
)
def test_a_saved_model_needs_nothing_but_tensorflow(name, tmp_path):
    """Raw images of either kind, any number of them."""
    pytest.importorskip("tensorflow")
    model, paths = trained(name), [tmp_path / "float32", tmp_path / "uint8"]
    for path, options in zip(paths, ({}, {"input_signature": as_bytes()})):
        model.export(path, verbose=False, **options)
    results = in_another_process(SERVE, tmp_path, paths, "tensorflow")
    for path, given in results.items():
        assert relative(np.array(given), outputs(model, images(32))) < 1e-5, path


def run_onnx(model, path, x, **options):
    """What ONNX Runtime gives for images of a model that Keras exported."""
    runtime = pytest.importorskip("onnxruntime")
    model.export(path, format="onnx", verbose=False, **options)
    session = runtime.InferenceSession(path)
    (taken,) = session.get_inputs()
    (given,) = session.run(None, {taken.name: x})
    return given


@pytest.mark.filterwarnings("ignore:.*np.object:FutureWarning")
@pytest.mark.parametrize(
    "name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)]
)
def test_residual_networks_become_onnx(name, tmp_path):
    """Raw images of either kind, any number of them."""
    if BACKEND == "jax":
        pytest.skip("for TensorFlow and torch")
    pytest.importorskip("tf2onnx" if BACKEND == "tensorflow" else "onnx")
    model, x = trained(name), images(32)
    expected = outputs(model, x)
    for file, dtype, options in (
        ("float.onnx", "float32", {}),
        ("bytes.onnx", "uint8", {"input_signature": as_bytes()}),
    ):
        given = run_onnx(model, str(tmp_path / file), x.astype(dtype), **options)
        assert relative(given, expected) < 1e-5, file


@pytest.mark.skipif(BACKEND != "torch", reason="no exporter for the exact GELU")
def test_vision_transformers_become_onnx(tmp_path):
    """With the torch backend, and a number of images that is fixed."""
    pytest.importorskip("onnxscript")
    model, x = trained("vit_tiny"), images(32)
    expected = outputs(model, x)
    spec = keras.InputSpec(shape=x.shape, dtype="float32", name="images")
    given = run_onnx(model, str(tmp_path / "vit.onnx"), x, input_signature=[spec])
    assert relative(given, expected) < 1e-5
