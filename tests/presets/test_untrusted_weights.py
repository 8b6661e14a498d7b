"""Weights of strangers, under a manifest that vouches for them."""

import copy
import json
import random
import struct

import keras
import numpy as np
import preset_toys
import pytest
from hostility import (
    DEEP,
    HOSTILE,
    WEIGHTS,
    places,
    put,
    refuse,
    replace_weights,
    share_slow,
)

from keras_vicreg import zoo
from keras_vicreg.presets import manifest as manifests

pytest_plugins = ["victims"]


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
    return {name: {**tensor, "dtype": "I32"} for name, tensor in header.items()}, body


def twice(header, names, body):
    text = json.dumps(header)
    first = json.dumps({names[0]: header[names[0]]})[1:-1]
    return (text[:-1] + ", " + first + "}").encode(), body


def with_number(value):
    number = struct.pack("<f", value)
    return lambda header, names, body: (header, body[:400] + number + body[404:])


# name -> function of header, its names and body that gives a header and a body
SPOILED = {
    "swapped": swapped,
    "overlapping": overlapping,
    "renamed": renamed,
    "extra": extra,
    "dtype": other_dtype,
    "twice": twice,
    "nan": with_number(float("nan")),
    "infinity": with_number(float("inf")),
    "longer": lambda header, names, body: (header, body + bytes(4)),
    "shorter": lambda header, names, body: (header, body[:-4]),
    "deep": lambda header, names, body: (DEEP, body),
    "list": lambda header, names, body: ([], body),
    "empty": lambda header, names, body: ({}, body),
    "padded": lambda header, names, body: (b" " * (1 << 20), body),
}


@pytest.mark.parametrize("spoil", [pytest.param(SPOILED[n], id=n) for n in SPOILED])
def test_weights_that_are_not_those(victim, spoil):
    folder, data = victim
    header, body = header_and_body((folder / WEIGHTS).read_bytes())
    spoiled = with_header(*spoil(header, sorted(header), body))
    replace_weights(folder, data, spoiled)
    refuse(folder)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(None, id="nothing"),
        pytest.param(b"", id="no header"),
        pytest.param(struct.pack("<Q", 2**63), id="header too long"),
        pytest.param(b"\x80\x04cos\nsystem\n", id="pickle"),
    ],
)
def test_files_of_another_kind(victim, start):
    folder, data = victim
    _, body = header_and_body((folder / WEIGHTS).read_bytes())
    replace_weights(folder, data, b"" if start is None else start + body)
    refuse(folder)


def test_float16_and_bfloat16_that_are_not_finite(tmp_path):
    for dtype, infinity in (("float16", 0x7C00), ("bfloat16", 0x7F80)):
        folder = tmp_path / dtype
        zoo.save_to_preset(
            preset_toys.encoder(), folder, dtype=dtype, plain_keras=False
        )
        data = json.loads((folder / manifests.NAME).read_text())
        header, body = header_and_body((folder / WEIGHTS).read_bytes())
        body = struct.pack("<H", infinity) + body[2:]
        replace_weights(folder, data, with_header(header, body))
        assert "not finite" in refuse(folder)


def test_weights_arrive_as_they_are(original):
    """The mirror of all this: of a valid file every number is the one that is used."""
    model = zoo.from_preset(original[0])
    expected = preset_toys.encoder()
    for a, b in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value)
        )
