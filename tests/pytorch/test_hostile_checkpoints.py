"""Checkpoints of strangers: what they claim to hold costs neither time nor memory."""

import copy
import pickle
import struct
import tarfile
import time
import warnings
import zipfile

import numpy as np
import pytest
from hostility import peak

from keras_vicreg.pytorch import files, inert_pickle
from keras_vicreg.pytorch.checkpoint import read_checkpoint
from keras_vicreg.pytorch.convert import convert_torch
from keras_vicreg.pytorch.networks import tensors_in

torch = pytest.importorskip("torch")

from torch_resnet import TorchResNet  # noqa: E402

MANY = 300_000
# Seconds of a slow machine; what the limits are there for would take far longer.
AT_ONCE = 10
TEXT = b"X" + struct.pack("<I", 100_000) + b"x" * 100_000


def number(value):
    data = value.to_bytes(value.bit_length() // 8 + 1, "little")
    return b"\x8a" + bytes([len(data)]) + data


def call(name, argument, times=MANY):
    """Calls a function with the same large argument again and again."""
    function = b"c" + name.replace(".", "\n").encode() + b"\n"
    return argument + b"\x94" + function + b"\x94" + b"h\x01h\x00\x85R" * times


COLLIDING = b"".join(number((2**61 - 1) * i) + b"N" for i in range(1, MANY // 4))
BOMBS = {
    "sets": b"\x8f" * MANY,
    "dicts": b"}" * MANY,
    "lists": b"]" * MANY,
    "marks": b"(" * MANY,
    "nothing": b"N" * MANY,
    "memo": b"N" + b"\x94" * MANY,
    "fetched": b"N\x94" + b"h\x00" * MANY,
    "duplicated": b"N" + b"2" * MANY,
    "nested tuples": b"N" + b"\x85" * MANY + b".",
    "nested lists": b"]" * MANY + b"a" * (MANY - 1) + b".",
    "encoded again and again": call("_codecs.encode", TEXT),
    "copied again and again": call("collections.deque", b"(" + b"N" * 9999 + b"l"),
    "ordered again and again": call(
        "collections.OrderedDict", b"(" + b"NN\x86" * 99 + b"l"
    ),
    "arguments": b"(" + b"N" * 9999 + b"t\x94cx\ny\n\x94" + b"h\x01h\x00R" * MANY,
    "names": TEXT + b"\x94" + b"h\x00h\x00\x93" * MANY,
    "names of names": b"cx\ny\n\x94"
    + b"".join(
        b"cbuiltins\ngetattr\n(h" + bytes([i]) + b"X\x63\0\0\0" + b"y" * 99 + b"tR\x94"
        for i in range(200)
    ),
    "a number of gigabytes": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x" * 99,
    "bytes of exabytes": b"\x8e" + struct.pack("<Q", 2**62) + b"x" * 99,
    "text of exabytes": b"\x8d" + struct.pack("<Q", 2**62) + b"x" * 99,
    "a frame of exabytes": b"\x95" + struct.pack("<Q", 2**62) + b"\x8f" * MANY,
    "digits": b"I" + b"9" * MANY + b"\n.",
    "no line": b"V" + b"9" * 2_000_000,
    "keys that collide": b"}(" + COLLIDING + b"u.",
    "members that collide": b"\x8f(" + COLLIDING + b"\x90.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_instruction_is_free(name):
    """With a budget of 1 MB, so that the refusal is soon there."""
    start = time.thread_time()
    with pytest.raises(ValueError, match=r"large|as keys|instruction|too long|limit"):
        inert_pickle.read(b"\x80\x04" + BOMBS[name], {}, limit=1 << 20)
    assert time.thread_time() - start < AT_ONCE


def test_the_budget_is_what_the_memory_grows_by():
    memory = peak(anew=True)
    with pytest.raises(ValueError, match="too large"):
        inert_pickle.read(b"\x80\x04" + b"\x8f" * 1_000_000, {})
    assert peak() - memory < 1.3 * inert_pickle.MAX_MEMORY


def test_a_checkpoint_of_ten_thousand_tensors_is_within_the_budget(tmp_path):
    content = {f"layer{i}.0.conv1.weight": torch.zeros(1) for i in range(10_000)}
    torch.save(content, tmp_path / "a.pth")
    assert len(files.read(tmp_path / "a.pth")) == 10_000


def recursive(kind):
    """A container that holds itself, and one of each kind on the way."""
    state = {}
    inner = {"dict": {"a": state}, "list": [state], "tuple": (state, [state])}[kind]
    state["model"] = state["again"] = inner
    return state


@pytest.mark.parametrize("kind", ["dict", "list", "tuple"])
def test_what_holds_itself_is_looked_into_once(tmp_path, kind):
    content = recursive(kind)
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="must hold a state dict"):
        read_checkpoint(tmp_path / "a.pth")
    network = TorchResNet("resnet18", width=1 / 16).state_dict()
    content["model"] = {"network": network, "all": content}
    torch.save(content, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").prefix == "model.network."


def nested(depth, value):
    for _ in range(depth):
        value = {"model": value}
    return value


def doubled(depth, value):
    for _ in range(depth):
        value = {"a": value, "b": value, "c": [value, value]}
    return value


def test_names_for_one_tensor_are_counted():
    tensor = np.zeros(1)
    with pytest.raises(ValueError, match="tensors at most"):
        tensors_in([[tensor] * 1000 for _ in range(300)])


@pytest.mark.parametrize("content", [nested(100_000, {}), doubled(60, {"x": 1})])
def test_deep_and_doubled_containers_are_no_work(content):
    start = time.thread_time()
    assert tensors_in(content) == ({}, [])
    assert time.thread_time() - start < AT_ONCE


def claim(shapes, own=lambda shape: torch.zeros(()).expand(shape)):
    """Tensors of large shapes in a small file."""
    return {name: own(shape) for name, shape in shapes.items()}


def shapes_of(name):
    with torch.device("meta"):
        state = TorchResNet(name).state_dict()
    return {key: value.shape for key, value in state.items()}


def in_one_storage(shape):
    return LARGE[: int(np.prod(shape))].reshape(shape)


LARGE = torch.zeros(3 * 3 * 512 * 512)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (claim(shapes_of("resnet200x2")), "each have their own numbers"),
        # Every tensor is a view of the first numbers of one storage.
        (claim(shapes_of("resnet18"), in_one_storage), "each have their own numbers"),
        # The keys of a large network, and tensors of one number.
        (claim(shapes_of("resnet200x2"), lambda _: torch.zeros(1)), "layout of one of"),
        (
            claim(shapes_of("resnet200x2"), lambda _: torch.zeros(1))
            | {"conv1.weight": torch.zeros(128, 3, 7, 7)},
            "wrongly shaped",
        ),
        ({"layer1.0.conv1.weight": LARGE, "conv1.weight": LARGE}, "layout of one of"),
    ],
)
def test_no_memory_for_what_is_only_claimed(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    memory, start = peak(anew=True), time.thread_time()
    with pytest.raises(ValueError, match=message):
        convert_torch(tmp_path / "a.pth")
    assert peak() - memory < 200e6
    assert time.thread_time() - start < 20


def test_an_expanded_tensor_is_not_loaded(tmp_path):
    torch.save({"a": torch.zeros(1).expand(1 << 38)}, tmp_path / "a.pth")
    tensor = files.read(tmp_path / "a.pth")["a"]
    assert tensor.shape == (1 << 38,)
    with pytest.raises(ValueError, match=r"must have its own numbers.*clone\(\)"):
        np.asarray(tensor)


def test_a_stage_of_any_number_is_no_loop(tmp_path):
    state = TorchResNet("resnet18", width=1 / 16).state_dict()
    for key in ("layer999999999999.0.conv1.weight", f"layer{'9' * 450}.0.conv1.weight"):
        torch.save(state | {key: torch.zeros(1)}, tmp_path / "a.pth")
        with pytest.raises(ValueError, match="layout of one of"):
            read_checkpoint(tmp_path / "a.pth")


def tensor_of(storage, offset, shape, strides):
    """The program of one tensor of such a shape; numbers may be of any size."""

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0000N" + number(
        storage
    )
    inside = b"(" + storage + b"tQ" + number(offset) + numbers(shape) + numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + inside + b"\x89NtR"


@pytest.mark.parametrize(
    ("storage", "offset", "shape", "strides"),
    [
        (4, 0, (1,) * 65, (1,) * 65),
        (4, 0, (2**39,) * 30_000, (0,) * 30_000),
        (4, 0, (2,), (2**2000,)),
        (4, 0, (2**100,), (1,)),
        (2**60, 0, (1,), (1,)),
        (4, 4, (1,), (1,)),
        (4, 0, (3, 3), (2, 1)),
        (4, 1, (4,), (1,)),
        (4, 0, (4,), (1, 1)),
    ],
)
def test_impossible_tensors_are_refused(tmp_path, storage, offset, shape, strides):
    tensor = tensor_of(storage, offset, shape, strides)
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + tensor + b".")
        archive.writestr("archive/data/0", bytes(16))
    start = time.thread_time()
    with pytest.raises(ValueError, match="impossible"):
        files.read(tmp_path / "a.pth")
    assert time.thread_time() - start < AT_ONCE


def with_names(archive, name, count):
    """Puts names for the bytes of another file into the table of contents."""
    for i in range(count):
        entry = copy.copy(archive.getinfo(name))
        entry.filename = f"a/data/{i + 1}"
        archive.filelist.append(entry)
    archive.writestr("a/end", b"")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: with_names(a, "a/data/0", 100), "its files overlap"),
        (lambda a: with_names(a, "a/version", 120_000), "table of contents is too"),
        (lambda a: a.writestr("a/x", bytes(99), zipfile.ZIP_DEFLATED), "compressed"),
        (lambda a: a.writestr("a/x", bytes(99), zipfile.ZIP_LZMA), "compressed"),
        (lambda a: a.writestr("a/constants.pkl", b"."), "a program of TorchScript"),
        (lambda a: a.writestr("a/models/model.json", b"{}"), "program of torch.export"),
        (lambda a: a.writestr("a/model.weights.h5", b""), "a model of Keras"),
        (lambda a: a.writestr("a/byteorder", bytes(9_000_000)), "big-endian"),
    ],
)
def test_archives_that_are_no_checkpoints(tmp_path, change, message):
    path = tmp_path / "a.pth"
    torch.save({"a": torch.arange(1000.0)}, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        with zipfile.ZipFile(path, "a") as archive:
            change(archive)
    memory = peak(anew=True)
    with pytest.raises(ValueError, match=message):
        files.read(path)
    assert peak() - memory < 100e6


def legacy(value, keys, storages=b""):
    head = 0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}
    pickles = [pickle.dumps(part, 2) for part in head]
    pickles += [b"\x80\x02" + value + b".", pickle.dumps(keys, 2)]
    return b"".join(pickles) + storages


def load_all(path):
    value = files.read(path)
    return [np.asarray(tensor) for tensor in np.atleast_1d(value)]


SIXTEEN = struct.pack("<q", 4) + bytes(16)
TWO_SIZES = b"](" + tensor_of(9, 0, (9,), (1,)) + tensor_of(4, 0, (4,), (1,)) + b"e"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            legacy(tensor_of(4, 0, (4,), (1,)), [["0"]], SIXTEEN),
            "no tensor of the storage",
        ),
        (
            legacy(tensor_of(4, 0, (4,), (1,)), [doubled(99, 0)], SIXTEEN),
            "no tensor of the storage",
        ),
        (legacy(tensor_of(4, 0, (4,), (1,)), ["0"], SIXTEEN[:-1]), "ends too early"),
        (legacy(tensor_of(4, 0, (4,), (1,)), ["0"], SIXTEEN[:7]), "ends too early"),
        (legacy(tensor_of(2**30, 0, (1,), (1,)), ["0"], SIXTEEN), "another size"),
        (legacy(tensor_of(4, 0, (4,), (1,)), []), "lacks the storage"),
        # A storage of two sizes, of which the file has the smaller.
        (legacy(TWO_SIZES, ["0"], SIXTEEN), "a tensor of 36 bytes has 16"),
        (b"\x80\x02]\x94h\x00a.", "not of PyTorch"),
        (b"\x80\x02" + b"\x8f" * 9_000_000, "not of PyTorch"),
        (legacy(b"", [])[:15] + b"\x8f" * 9_000_000, "too large"),
    ],
)
def test_old_files_that_contradict_themselves(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    start = time.thread_time()
    with pytest.raises(ValueError, match=message):
        load_all(tmp_path / "a.pth")
    assert time.thread_time() - start < AT_ONCE


def gigantic(path):
    """A file that seems to have 100 GB, and on the disk has none."""
    with open(path, "r+b") as file:
        file.truncate(100 * 10**9)


def test_a_file_of_any_size_is_not_read_whole(tmp_path):
    path = tmp_path / "a.pth"
    for start in (legacy(b"V", []), b"\x80\x02X\xff\xff\xff\xff", b"PK\x03\x04", b""):
        path.write_bytes(start)
        gigantic(path)
        memory = peak(anew=True)
        with pytest.raises(ValueError, match="must be a checkpoint"):
            files.read(path)
        assert peak() - memory < 2.5 * inert_pickle.MAX_MEMORY


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08" + bytes(99), "compressed with gzip"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"a line of text\n" * 9, "begins like neither"),
    ],
)
def test_files_of_other_kinds_are_called_what_they_are(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        files.read(tmp_path / "a.pth")


def test_a_tar_archive_is_called_one(tmp_path):
    """What `.pth.tar` is not, and PyTorch wrote before 2017."""
    (tmp_path / "tensors").write_bytes(bytes(8))
    with tarfile.open(tmp_path / "a.pth.tar", "w") as archive:
        archive.add(tmp_path / "tensors", "tensors")
    with pytest.raises(ValueError, match="it is a tar archive"):
        files.read(tmp_path / "a.pth.tar")


def test_no_error_sends_controls_to_the_terminal(tmp_path):
    path = tmp_path / "a\x1b[2K.pth"
    for content in ({"\x1b]0;x\x07": torch.ones(1)}, {"x": 1}):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"\\x1b") as caught:
            convert_torch(path)
        assert str(caught.value).isprintable()
    path.write_bytes(b"\x80\x02cos\nsy\x1b[2Kstem\n)R.")
    with pytest.raises(ValueError, match=r"a\\x1b\[2K\.pth") as caught:
        convert_torch(path)
    assert str(caught.value).isprintable()
