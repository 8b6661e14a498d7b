"""Presets of strangers: 2,000 ways to lie, each refused, quickly and harmlessly."""

import copy
import hashlib
import json
import os
import random
import resource
import struct
import sys
import time

import keras
import numpy as np
import preset_toys
import pytest

import keras_vicreg as kv
from keras_vicreg import presets
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets import strict_json

WEIGHTS = "model.safetensors"
DEEP = b"[" * 100_000 + b"]" * 100_000
# Values that no place of a manifest asks for.
HOSTILE = [
    True,
    -1,
    0.5,
    2**53,
    2**64,
    10**30,
    1e308,
    "../../../etc/passwd",
    "/etc/passwd",
    "os.system",
    "__import__('os').abort()",
    "model.safetensors\u0000",
    "x" * 100_000,
    [[[[[[[[]]]]]]]],
    [10**9, 10**9, 3],
    [-1, 32, 3],
    ["32", "32", "3"],
    {"module": "builtins", "class_name": "eval"},
    {"__class__": "keras.layers.Lambda"},
]
DECISIVE = ("format", "encoder", "preprocessing", "weights", "files", "expander")
REFUSED_OPTIONS = {"vit_base": ("stem", "width"), "resnet200x2": ("width",)}
EVENTS = ("os.system", "subprocess.Popen", "socket.connect", "os.exec", "ctypes.dlopen")


class Watch:
    """Notes what the interpreter does while it is on: files written, commands run."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if not self.on:
            return
        if event in EVENTS:
            self.seen.append((event, args))
        if event == "open" and isinstance(args[0], (str, bytes)):
            flags = args[2] if isinstance(args[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.seen.append((event, args[0]))


WATCH = Watch()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A valid preset, its manifest as data, and the memory that loading it took."""
    folder = tmp_path_factory.mktemp("original") / "preset"
    presets.save_to_preset(preset_toys.vicreg(), folder, plain_keras=False)
    presets.from_preset(folder, model_class=kv.VICReg)
    return folder, json.loads((folder / manifests.NAME).read_text()), peak()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refuse(folder, model_class=None, error=kv.PresetError):
    """Loads what must not load, and looks at what that did."""
    WATCH.seen.clear()
    start = time.perf_counter()
    WATCH.on = True
    try:
        with pytest.raises(error) as caught:
            presets.from_preset(folder, model_class=model_class)
    finally:
        WATCH.on = False
    assert time.perf_counter() - start < 2
    assert not WATCH.seen
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 1000
    return str(caught.value)


@pytest.fixture
def victim(original, tmp_path):
    """A copy of the valid preset to spoil; memory is looked at in the end."""
    folder, data, memory = original
    copied = tmp_path / "preset"
    copied.mkdir()
    for path in folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    yield copied, copy.deepcopy(data)
    assert peak() - memory < 200e6
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]


def sign(folder, data):
    """Writes a manifest as somebody would who knows how."""
    data.pop("sha256", None)
    content = strict_json.dumps(data)
    data["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / manifests.NAME).write_bytes(strict_json.dumps(data))


def replace_weights(folder, data, content, name=WEIGHTS):
    """Puts other weights in, with the size and hash they have."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    data["files"][name] = {"sha256": digest, "size": len(content)}
    sign(folder, data)


def places(value, path=()):
    """Paths to all values inside lists and dicts."""
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def put(data, path, value):
    *parents, last = path
    for key in parents:
        data = data[key]
    data[last] = value


def test_the_original_loads(victim):
    folder, data = victim
    sign(folder, data)
    replace_weights(folder, data, (folder / WEIGHTS).read_bytes())
    presets.from_preset(folder, model_class=kv.VICReg)


def share_slow(parts):
    """The first part of many in every run, the others in the long one."""
    return [0, *(pytest.param(part, marks=pytest.mark.slow) for part in parts[1:])]


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


def header_and_body(content):
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header, body):
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + body


@pytest.mark.parametrize("seed", share_slow(range(3)))
def test_hostile_headers_of_weights(victim, seed):
    """450 files with a header that lies, under a manifest that vouches for them."""
    folder, data = victim
    r = random.Random(seed)
    header, body = header_and_body((folder / WEIGHTS).read_bytes())
    paths = list(places(header))
    for _ in range(150):
        mutant = copy.deepcopy(header)
        value = r.choice([*HOSTILE, None, "F64", "I32", 0, 1, [], [0, 0], {}])
        path = r.choice(paths)
        put(mutant, path, value)
        if mutant == header and repr(mutant) == repr(header):
            continue
        replace_weights(folder, data, with_header(mutant, body))
        refuse(folder)


def spoiled_weights():
    """name -> function of header and body that gives a whole file."""

    def named(header, body, action):
        header = copy.deepcopy(header)
        return with_header(*action(header, sorted(header), body))

    def swapped(header, names, body):
        a, b = "conv1/kernel", "bn1/beta"
        header[a], header[b] = header[b], header[a]
        return header, body

    def overlapping(header, names, body):
        header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
        return header, body

    def renamed(header, names, body):
        header["../" + names[0]] = header.pop(names[0])
        return header, body

    def extra(header, names, body):
        end = len(body)
        header["extra"] = {"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}
        return header, body + bytes(4)

    def other_dtype(header, names, body):
        return {k: {**v, "dtype": "I32"} for k, v in header.items()}, body

    def twice(header, names, body):
        text = json.dumps(header)
        first = json.dumps({names[0]: header[names[0]]})[1:-1]
        return (text[:-1] + ", " + first + "}").encode(), body

    def number(value):
        def action(header, names, body):
            return header, body[:400] + struct.pack("<f", value) + body[404:]

        return action

    actions = {
        "swapped": swapped,
        "overlapping": overlapping,
        "renamed": renamed,
        "extra": extra,
        "dtype": other_dtype,
        "twice": twice,
        "nan": number(float("nan")),
        "infinity": number(float("inf")),
        "longer": lambda header, names, body: (header, body + bytes(4)),
        "shorter": lambda header, names, body: (header, body[:-4]),
        "deep": lambda header, names, body: (DEEP, body),
        "list": lambda header, names, body: ([], body),
        "empty": lambda header, names, body: ({}, body),
        "padded": lambda header, names, body: (b" " * (1 << 20), body),
    }
    for name, action in actions.items():
        yield name, lambda header, body, action=action: named(header, body, action)
    yield "no header", lambda header, body: body
    yield "header too long", lambda header, body: struct.pack("<Q", 2**63) + body
    yield "pickle", lambda header, body: b"\x80\x04cos\nsystem\n" + body
    yield "nothing", lambda header, body: b""


@pytest.mark.parametrize(
    "spoil", [pytest.param(spoil, id=name) for name, spoil in spoiled_weights()]
)
def test_weights_that_are_not_those(victim, spoil):
    folder, data = victim
    content = spoil(*header_and_body((folder / WEIGHTS).read_bytes()))
    replace_weights(folder, data, content)
    refuse(folder)


def test_float16_and_bfloat16_that_are_not_finite(tmp_path):
    for dtype, infinity in (("float16", 0x7C00), ("bfloat16", 0x7F80)):
        folder = tmp_path / dtype
        presets.save_to_preset(
            preset_toys.encoder(), folder, dtype=dtype, plain_keras=False
        )
        data = json.loads((folder / manifests.NAME).read_text())
        header, body = header_and_body((folder / WEIGHTS).read_bytes())
        body = struct.pack("<H", infinity) + body[2:]
        replace_weights(folder, data, with_header(header, body))
        assert "not finite" in refuse(folder)


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
    presets.from_preset(folder)


def test_links_inside_the_cache_of_the_hub_are_followed(original, tmp_path):
    """A snapshot there is links to blobs; links to elsewhere are refused there too."""
    blobs = tmp_path / "models--user--repo" / "blobs"
    snapshot = tmp_path / "models--user--repo" / "snapshots" / ("0" * 40)
    for folder in (blobs, snapshot):
        folder.mkdir(parents=True)
    for path in original[0].iterdir():
        (blobs / path.name).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    presets.from_preset(snapshot)
    (snapshot / WEIGHTS).unlink()
    (snapshot / WEIGHTS).symlink_to(original[0] / WEIGHTS)
    refuse(snapshot)


def test_weights_arrive_as_they_are(original):
    """The mirror of all this: of a valid file every number is the one that is used."""
    model = presets.from_preset(original[0])
    expected = preset_toys.encoder()
    for a, b in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value)
        )
