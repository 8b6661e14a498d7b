"""Presets of strangers: 2,000 ways to lie, each refused, quickly and harmlessly."""

import copy
import os
import random

import keras
import pytest
from hostility import (
    DECISIVE,
    DEEP,
    HOSTILE,
    REFUSED_OPTIONS,
    WEIGHTS,
    places,
    put,
    refuse,
    replace_weights,
    share_slow,
    sign,
)

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.presets import manifest as manifests

pytest_plugins = ["victims"]


def test_the_original_loads(victim):
    folder, data = victim
    sign(folder, data)
    replace_weights(folder, data, (folder / WEIGHTS).read_bytes())
    zoo.from_preset(folder, model_class=kv.VICReg)


@pytest.mark.parametrize("seed", share_slow(range(4)))
def test_damaged_bytes(victim, seed):
    """1,000 flips, cuts and insertions in the manifest and the weights."""
    folder, _ = victim
    r = random.Random(seed)
    for number in range(250):
        name = (manifests.NAME, WEIGHTS, "expander.safetensors")[number % 3]
        whole = (folder / name).read_bytes()
        data, place = bytearray(whole), r.randrange(len(whole))
        kind = r.randrange(4)
        if kind == 0:
            data[place] ^= 1 << r.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = r.randbytes(r.randint(1, 50))
        else:
            del data[place : place + r.randint(1, 50)]
        (folder / name).write_bytes(data)
        refuse(folder, kv.VICReg)
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("part", share_slow(range(3)))
def test_hostile_manifests(victim, part):
    """450 well-made manifests with one value that nobody would have written."""
    folder, data = victim
    r = random.Random(part)
    # What the card says is up to the publisher; all else is not.
    decisive = [path for path in places(data) if path[0] in DECISIVE]
    for _ in range(150):
        mutant = copy.deepcopy(data)
        path, value = r.choice(decisive), r.choice(HOSTILE)
        if path[-1] in ("center", "scale", "use_bias") and value is True:
            continue  # what is there already
        put(mutant, path, value)
        sign(folder, mutant)
        refuse(folder, kv.VICReg)


def test_manifests_that_lack_or_add_something(victim):
    folder, data = victim
    for path in places(data):
        if path[0] in ("sha256", "metrics", "training", "dataset", "versions"):
            continue
        if len(path) > 1 and isinstance(path[-1], int):
            continue
        mutant = copy.deepcopy(data)
        *parents, last = path
        inside = mutant
        for key in parents:
            inside = inside[key]
        taken = inside.pop(last)
        sign(folder, mutant)
        refuse(folder, kv.VICReg)
        inside[last], inside["another"] = taken, 1
        sign(folder, mutant)
        refuse(folder, kv.VICReg)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a manifest"),
        (b"null", "not a manifest"),
        (b"[]", "not a manifest"),
        (DEEP, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"format": 1, "format": 1}', "a key twice"),
        (b'{"format": NaN}', "not finite"),
        (b'{"format": 1e999}', "not finite"),
        (b'{"format": -Infinity}', "not finite"),
        (b'{"format": ' + b"9" * 100_000 + b"}", "not a manifest"),
        (b'{"format": "\\ud800"}', "not a manifest"),
        (b"\xff\xfe{\x00}\x00", "not a manifest"),
        (b"\xef\xbb\xbf{}", "not a manifest"),
        (b" " * (1 << 20) + b"{}", "at most 1048576 bytes"),
        (b'{"format": 1}', "damaged or was edited"),
        (b'{"format": true}', "no format number"),
        (b'{"format": 2}', "upgrade with `pip install -U keras-vicreg`"),
        (b'{"format": 99999999999999999999999}', "upgrade"),
        (b'{"format": 0}', "damaged"),
    ],
)
def test_files_that_are_no_manifest(victim, content, message):
    folder, _ = victim
    (folder / manifests.NAME).write_bytes(content)
    assert message in refuse(folder)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet9000", {}, "must be one of"),
        ("", {}, "must be one of"),
        ("resnet18", {"activation": "builtins.eval"}, "must be among"),
        ("resnet18", {"name": "x"}, "multiple values"),
        ("resnet18", {"block": "basic"}, "must be among"),
        ("resnet18", {"image_shape": [10**9, 10**9, 3]}, "sides of 1 to"),
        ("resnet18", {"image_shape": [32, 32, 10**9]}, "1 to 64 channels"),
        ("resnet18", {"width": 10**6}, "`width` must be"),
        ("resnet18", {"width": 4}, "disagree"),
        ("resnet200x2", {}, "disagree"),
        ("vit_base", {"patch_size": 1, "image_shape": [4096, 4096, 3]}, "patches"),
    ],
)
def test_encoders_that_are_not_on_offer(victim, name, options, message):
    """Among them those of 100 GB, of which no byte is asked for."""
    folder, data = victim
    known = data["encoder"]["options"]
    for option in REFUSED_OPTIONS.get(name, ()):
        del known[option]
    data["encoder"] = {"name": name, "options": known | options}
    sign(folder, data)
    assert message in refuse(folder)
    # And no memory is asked for later, when Keras makes up for what it put off.
    with keras.StatelessScope():
        pass


@pytest.mark.parametrize(
    "layers",
    [
        [{"layer": "dense", "units": 131072, "use_bias": True}] * 32,
        [{"layer": "dense", "units": 10**12, "use_bias": True}],
        [{"layer": "lambda", "function": "eval"}],
        [{"layer": "dense", "units": 16, "use_bias": True, "activation": "eval"}],
        [{"layer": "relu"}] * 100_00,
        [],
        ["dense"],
        [{"layer": ["dense"]}],
    ],
)
def test_heads_that_are_not_on_offer(victim, layers):
    folder, data = victim
    data["expander"]["layers"] = layers
    sign(folder, data)
    refuse(folder, kv.VICReg)


def test_sizes_of_100_gigabytes(victim):
    """A file that is said to be, and on the disk seems, as large as that."""
    folder, data = victim
    size = 100 * 10**9
    with open(folder / WEIGHTS, "r+b") as file:
        file.truncate(size)
    data["files"][WEIGHTS]["size"] = size
    sign(folder, data)
    assert "disagree" in refuse(folder)
    data["weights"]["parameters"] = size // 4
    sign(folder, data)
    assert "disagree" in refuse(folder)
    with open(folder / manifests.NAME, "r+b") as file:
        file.truncate(size)
    assert "at most" in refuse(folder)


def test_things_that_are_no_files(victim, tmp_path_factory):
    folder, _ = victim
    outside = tmp_path_factory.mktemp("outside") / "file"
    for name in (WEIGHTS, manifests.NAME):
        whole = (folder / name).read_bytes()
        outside.write_bytes(whole)
        for kind, make in {
            "symbolic link": lambda path: path.symlink_to(outside),
            "ordinary file": lambda path: os.mkfifo(path),
            "ordinary": lambda path: path.mkdir(),
        }.items():
            (folder / name).unlink()
            make(folder / name)
            assert kind in refuse(folder)
            (folder / name).rmdir() if kind == "ordinary" else (folder / name).unlink()
            (folder / name).write_bytes(whole)
        (folder / name).unlink()
        refuse(folder)
        (folder / name).write_bytes(whole)
    zoo.from_preset(folder)


def test_links_inside_the_cache_of_the_hub_are_followed(original, tmp_path):
    """A snapshot there is links to blobs; links to elsewhere are refused there too."""
    blobs = tmp_path / "models--user--repo" / "blobs"
    snapshot = tmp_path / "models--user--repo" / "snapshots" / ("0" * 40)
    for folder in (blobs, snapshot):
        folder.mkdir(parents=True)
    for path in original[0].iterdir():
        (blobs / path.name).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    zoo.from_preset(snapshot)
    (snapshot / WEIGHTS).unlink()
    (snapshot / WEIGHTS).symlink_to(original[0] / WEIGHTS)
    refuse(snapshot)
