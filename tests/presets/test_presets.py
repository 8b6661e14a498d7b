"""Presets in folders: what is written is what is read, whole, on every backend."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import huggingface_hub
import keras
import numpy as np
import preset_toys
import pytest
import safetensors.numpy

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.presets import built_in, model_card
from keras_vicreg.presets import folder as folders

ROOT = pathlib.Path(__file__).parents[2]


def weights(model):
    return [keras.ops.convert_to_numpy(v.value) for v in model.weights]


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.every_backend
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_an_encoder_comes_back(tmp_path, dtype):
    encoder = preset_toys.encoder()
    zoo.save_to_preset(encoder, tmp_path / "a", dtype=dtype, plain_keras=False)
    loaded = kv.from_preset(tmp_path / "a")
    precision = {"float32": 0, "float16": 2**-11, "bfloat16": 2**-8}[dtype]
    for before, after in zip(weights(encoder), weights(loaded), strict=True):
        np.testing.assert_allclose(after, before, rtol=precision, atol=1e-7)
        assert after.dtype == "float32"
    if dtype == "float32":
        expected = preset_toys.outputs(encoder)
        np.testing.assert_allclose(preset_toys.outputs(loaded), expected, atol=1e-6)


@pytest.mark.every_backend
def test_a_pretraining_model_comes_back(tmp_path):
    model = preset_toys.vicreg()
    zoo.save_to_preset(model, tmp_path / "a")
    loaded = zoo.from_preset(
        tmp_path / "a", model_class=kv.VICReg, variance_weight=10.0
    )
    expected = preset_toys.outputs(model)
    np.testing.assert_allclose(preset_toys.outputs(loaded), expected, atol=1e-6)
    assert loaded.term_weights["variance"] == 10.0
    encoder = kv.from_preset(tmp_path / "a")
    np.testing.assert_array_equal(weights(encoder)[0], weights(model.encoder)[0])


@pytest.mark.every_backend
def test_transformers_come_back(tmp_path):
    encoder = kv.encoder("vit_tiny", (8, 8, 3), patch_size=4)
    zoo.save_to_preset(encoder, tmp_path / "a", plain_keras=False)
    for before, after in zip(
        weights(encoder), weights(kv.from_preset(tmp_path / "a")), strict=True
    ):
        np.testing.assert_array_equal(after, before)


@pytest.mark.every_backend
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_precision_of_the_session_stays_out_of_the_preset(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        zoo.save_to_preset(preset_toys.encoder(), tmp_path / "a")
        loaded = kv.from_preset(tmp_path / "a")
        assert loaded.layers[-1].compute_dtype == policy.removeprefix("mixed_")
        assert keras.config.dtype_policy().name == policy
    finally:
        keras.config.set_dtype_policy("float32")
    zoo.save_to_preset(kv.from_preset(tmp_path / "a"), tmp_path / "b")
    for name in ("model.safetensors", "config.json", "model.weights.h5", "vicreg.json"):
        assert content(tmp_path / "a")[name] == content(tmp_path / "b")[name]


def test_the_files_are_what_others_read(tmp_path):
    encoder = preset_toys.encoder()
    zoo.save_to_preset(encoder, tmp_path / "a", dtype="float16")
    stored = safetensors.numpy.load_file(tmp_path / "a" / "model.safetensors")
    assert set(stored) == {v.path for v in encoder.weights}
    for variable in encoder.weights:
        expected = keras.ops.convert_to_numpy(variable.value).astype("float16")
        np.testing.assert_array_equal(stored[variable.path], expected)
    # Keras's own format holds the same, rounded, numbers.
    plain = keras.saving.load_model(tmp_path / "a")
    for loaded, own in zip(
        weights(plain), weights(kv.from_preset(tmp_path / "a")), strict=True
    ):
        np.testing.assert_array_equal(loaded, own)
    manifest = json.loads((tmp_path / "a" / "vicreg.json").read_text())
    assert manifest["encoder"]["name"] == "resnet18"
    assert manifest["weights"]["parameters"] == encoder.count_params()


def test_saving_twice_gives_the_same_files(tmp_path):
    model = preset_toys.vicreg()
    for folder in ("a", "b"):
        zoo.save_to_preset(model, tmp_path / folder / "toy", **preset_toys.CARD)
    assert content(tmp_path / "a" / "toy") == content(tmp_path / "b" / "toy")


def test_saving_replaces_all_of_a_preset_and_nothing_else(tmp_path):
    folder = tmp_path / "toy"
    zoo.save_to_preset(preset_toys.vicreg(), folder)
    (folder / "notes.txt").write_text("mine")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    other = preset_toys.encoder(seed=1)
    zoo.save_to_preset(other, folder, plain_keras=False)
    assert sorted(content_names(folder)) == [
        *(".git", "README.md", "model.safetensors", "notes.txt", "vicreg.json")
    ]
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / ".git" / "HEAD").read_text() == "ref"
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    np.testing.assert_array_equal(weights(kv.from_preset(folder))[0], weights(other)[0])


@pytest.mark.parametrize("folder", [".", "{}", "../toy"])
def test_saving_into_the_working_folder_leaves_it_there(tmp_path, monkeypatch, folder):
    here = tmp_path / "toy"
    here.mkdir()
    monkeypatch.chdir(here)
    inode = here.stat().st_ino
    for seed in range(2):
        model = preset_toys.encoder(seed)
        zoo.save_to_preset(model, folder.format(here), plain_keras=False)
        assert pathlib.Path.cwd() == here
        assert here.stat().st_ino == inode
        (here / "notes.txt").write_text("mine")
        assert sorted(content_names(here)) == [
            *("README.md", "model.safetensors", "notes.txt", "vicreg.json")
        ]
        loaded = kv.from_preset(".")
        np.testing.assert_array_equal(weights(loaded)[0], weights(model)[0])


def content_names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_failed_saving_changes_nothing(tmp_path):
    folder = tmp_path / "toy"
    zoo.save_to_preset(preset_toys.encoder(), folder)
    before = content(folder)
    broken = preset_toys.encoder(seed=1)
    broken.weights[0].assign(np.full(broken.weights[0].shape, np.nan))
    large = preset_toys.encoder(seed=1)
    large.weights[0].assign(np.full(large.weights[0].shape, 1e6))
    for model, options, message in (
        (broken, {}, "finite in float32"),
        (large, {"dtype": "float16"}, "finite in float16"),
        (large, {"dtype": "int8"}, "`dtype` must be one of"),
        (large, {"colour": "red"}, "must be made of"),
        (large, {"description": 3}, "`description` of `manifest` must be text"),
        (large, {"metrics": [{"name": "kNN"}]}, "`metrics` must hold"),
        (large, {"metrics": [{"name": "k", "value": "1", "dataset": "d"}]}, "`value`"),
        (large, {"training": {"loss": object()}}, "JSON"),
        (large, {"curves": tmp_path / "none.png"}, "`curves` must be"),
        (keras.Sequential([keras.Input((4,))]), {}, "must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            zoo.save_to_preset(model, folder, **options)
        assert content(folder) == before
    assert content_names(tmp_path) == ["toy"]


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "README.md").write_text("mine")
    with pytest.raises(kv.PresetError, match="holds files and no preset"):
        zoo.save_to_preset(preset_toys.encoder(), tmp_path / "thesis")
    with pytest.raises(kv.PresetError, match="is a file"):
        zoo.save_to_preset(preset_toys.encoder(), tmp_path / "thesis" / "README.md")
    assert (tmp_path / "thesis" / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        ("nothing-here", "There is no preset 'nothing-here'"),
        ("user/repo", "write hf://user/repo"),
        ("/no/such/folder", "There is no folder"),
    ],
)
def test_missing_presets(handle, message):
    with pytest.raises(kv.PresetError, match=message) as caught:
        kv.from_preset(handle)
    assert "\n" not in str(caught.value)


def test_a_preset_without_expander_says_so(tmp_path):
    zoo.save_to_preset(preset_toys.encoder(), tmp_path / "a")
    with pytest.raises(kv.PresetError, match="without its expander"):
        zoo.from_preset(tmp_path / "a", model_class=kv.VICReg)
    with pytest.raises(ValueError, match="`revision` must be None"):
        zoo.from_preset(tmp_path / "a", revision="main")
    with pytest.raises(TypeError, match="takes no options"):
        kv.from_preset(tmp_path / "a", trainable=False)


def test_an_expander_of_other_layers_is_left_out(tmp_path):
    odd = keras.Sequential([keras.layers.Dense(8, activation="tanh")])
    model = kv.VICReg(preset_toys.encoder(), odd)
    with pytest.warns(UserWarning, match="holds the encoder alone: `activation`"):
        zoo.save_to_preset(model, tmp_path / "a")
    assert folders.verify(tmp_path / "a").expander is None


def test_a_run_folder_is_the_preset_in_it(tmp_path):
    zoo.save_to_preset(preset_toys.encoder(), tmp_path / "run" / "encoder")
    assert kv.from_preset(tmp_path / "run").name == "resnet18"


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    folder = tmp_path / "a"
    zoo.save_to_preset(preset_toys.vicreg(), folder)
    r = random.Random(0)
    for name in (*folders.read_manifest(folder).files, "vicreg.json"):
        data = (folder / name).read_bytes()
        for place in [0, len(data) - 1, *(r.randrange(len(data)) for _ in range(20))]:
            flipped = bytearray(data)
            flipped[place] ^= 1 << r.randrange(8)
            (folder / name).write_bytes(flipped)
            with pytest.raises(kv.PresetError):
                folders.verify(folder)
        (folder / name).write_bytes(data)
    folders.verify(folder)


@pytest.mark.parametrize("name", zoo.list_presets())
def test_built_in_presets(name):
    folder = built_in.find_folder(name)
    manifest = folders.read_manifest(folder)
    if name not in zoo.ON_HUB:
        folders.verify(folder)
        assert kv.from_preset(name).count_params() == manifest.weights["parameters"]
    card = huggingface_hub.ModelCard.load(folder / model_card.NAME)
    assert card.data.library_name
    measured = {(m["name"], m["value"]) for m in manifest.metrics}
    shown = card.data.eval_results or []
    assert {(r.metric_name, r.metric_value) for r in shown} == measured


def test_the_list_of_presets_is_up_to_date():
    sys.path.insert(0, str(ROOT / "training"))
    try:
        import weights_table
    finally:
        sys.path.pop(0)
    assert (ROOT / "weights" / "README.md").read_text() == weights_table.render()
    assert set(zoo.ON_HUB) <= set(zoo.list_presets())


SAVER = """
import itertools, os, pathlib, sys
import preset_toys
from keras_vicreg import zoo
models = preset_toys.vicreg(seed=1), preset_toys.encoder(seed=2)
import torch
torch.set_num_threads(1)  # threads do not survive a fork
for model in models:  # imports what is imported late
    zoo.save_to_preset(model, sys.argv[1])
print("ready", flush=True)
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        for model in itertools.cycle(models):
            zoo.save_to_preset(model, sys.argv[1])
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


@pytest.mark.slow
def test_killed_while_saving(tmp_path):
    """kill -9 at 20 random moments: one of the two presets is there, whole."""
    pytest.importorskip("torch")
    models = preset_toys.vicreg(seed=1), preset_toys.encoder(seed=2)
    for number, model in enumerate(models):
        zoo.save_to_preset(model, tmp_path / str(number))
    whole = [folders.read_manifest(tmp_path / str(n)).files for n in (0, 1)]
    folder = tmp_path / "killed"
    zoo.save_to_preset(models[0], folder)
    process = subprocess.Popen(
        [sys.executable, "-c", SAVER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ
        | {"KERAS_BACKEND": "torch", "PYTHONPATH": f"{ROOT}:{ROOT}/tests/support"},
    )
    r = random.Random(0)
    with process:
        assert process.stdout.readline() == "ready\n"
        for _ in range(20):
            process.stdin.write("save\n")
            process.stdin.flush()
            child = int(process.stdout.readline())
            time.sleep(r.uniform(0, 1))
            os.kill(child, signal.SIGKILL)
            assert process.stdout.readline() == "dead\n"
            manifest = folders.steadily(folder, folders.verify)
            assert manifest.files in whole
        process.stdin.close()
    left = [p for p in tmp_path.iterdir() if p.name.startswith(".killed.writing")]
    assert left, "no kill fell into a saving: the test tests nothing"
    zoo.from_preset(folder)


REPLACER = """
import itertools, os, pathlib, shutil, sys
from keras_vicreg.atomic_folder import replacing
*sources, target = map(pathlib.Path, sys.argv[1:])
if os.environ.get("INSIDE"):
    os.chdir(target)
    target = pathlib.Path(".")
for source in itertools.cycle(sources):
    with replacing(target) as new:
        shutil.copytree(source, new, dirs_exist_ok=True)
"""


@pytest.mark.parametrize("inside", ["", pytest.param("1", marks=pytest.mark.slow)])
def test_read_while_it_is_replaced(tmp_path, inside):
    """A reader sees the one or the other at any moment, and never an error."""
    for number in (0, 1):
        zoo.save_to_preset(
            preset_toys.encoder(seed=number), tmp_path / str(number), plain_keras=False
        )
    first = [weights(kv.from_preset(tmp_path / str(n)))[0] for n in (0, 1)]
    target = tmp_path / "target"
    zoo.save_to_preset(preset_toys.encoder(seed=0), target, plain_keras=False)
    folders_ = [tmp_path / "0", tmp_path / "1", target]
    with subprocess.Popen(
        [sys.executable, "-c", REPLACER, *map(str, folders_)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "INSIDE": inside},
    ) as process:
        seen = set()
        try:
            for _ in range(40):
                got = weights(kv.from_preset(target))[0]
                seen.add([np.array_equal(got, f) for f in first].index(True))
            for _ in range(300):
                folders.steadily(target, folders.verify)
            assert process.poll() is None
        finally:
            process.kill()
    assert seen == {0, 1}


@pytest.mark.slow
def test_loading_costs_little_more_than_building_and_reading(tmp_path):
    """At most 1.3 times, hashing included, for a ResNet-50."""
    encoder = kv.encoder("resnet50")
    zoo.save_to_preset(encoder, tmp_path / "a", plain_keras=False)

    def alone():
        model = kv.encoder("resnet50")
        stored = safetensors.numpy.load_file(tmp_path / "a" / "model.safetensors")
        for variable in model.weights:
            variable.assign(stored[variable.path])

    def loading():
        kv.from_preset(tmp_path / "a")

    times = {alone: [], loading: []}
    for _ in range(7):
        for action, taken in times.items():
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    ratio = min(times[loading]) / min(times[alone])
    print(f"loading / (building + reading) = {ratio:.2f}")
    assert ratio <= 1.3
