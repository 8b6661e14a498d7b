"""PyTorch's files: read as PyTorch reads them, without running what is in them."""

import argparse
import collections
import io
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from keras_vicreg.pytorch import files as torch_files
from keras_vicreg.pytorch import inert_pickle

torch = pytest.importorskip("torch")


def exclude_bias_and_norm(p):
    """Stands for the function that the authors' optimizer state refers to."""
    return p.ndim == 1


def contents():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, generator=generator)
    return {
        "epoch": 3,
        "model": collections.OrderedDict(
            weight=weight,
            transposed=weight.t(),
            part=weight[1:3, ::2],
            parameter=torch.nn.Parameter(torch.ones(2)),
            counter=torch.tensor(7),
            empty=torch.zeros(0, 3),
        ),
        "dtypes": [
            torch.arange(-3, 4).to(getattr(torch, name))
            for name in ("float64", "float16", "int64", "int32", "int16", "int8")
        ],
        "brain": torch.randn(5, generator=generator).bfloat16(),
        "bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "optimizer": {
            "state": {0: {"mu": torch.randn(3, generator=generator)}},
            "param_groups": [
                {"lr": 0.25, "params": [0], "filter": exclude_bias_and_norm}
            ],
        },
        "plain": (
            None,
            True,
            -5,
            1 << 70,
            2.5,
            "text",
            b"",
            b"\xff",
            [1, [2]],
            {"a": ()},
        ),
        "args": argparse.Namespace(batch_size=2048, folder=pathlib.Path("runs")),
        "score": np.float64(0.5),
        "device": torch.device("cpu"),
        "names": {"x"},
    }


@pytest.fixture(params=["zip", "legacy"])
def file(request, tmp_path):
    path = tmp_path / "checkpoint.pth"
    zipped = request.param == "zip"
    torch.save(contents(), path, _use_new_zipfile_serialization=zipped)
    return path


def test_paths_are_read_as_every_python_writes_them(tmp_path):
    path = tmp_path / "checkpoint.pth"
    content = {"folder": pathlib.Path("runs"), "model": {"w": torch.ones(2)}}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    written = path.read_bytes()
    module = pathlib.Path("runs").__class__.__module__.encode()
    for other in (b"pathlib", b"pathlib._local"):  # until Python 3.12, in 3.13
        path.write_bytes(written.replace(b"c" + module + b"\n", b"c" + other + b"\n"))
        found = np.asarray(torch_files.read(path)["model"]["w"])
        np.testing.assert_array_equal(found, 1)


def test_contents_are_pytorchs(file):
    expected, actual = contents(), torch_files.read(file)
    for name, tensor in expected["model"].items():
        value = np.asarray(actual["model"][name])
        np.testing.assert_array_equal(value, tensor.detach().numpy())
        assert value.dtype == tensor.detach().numpy().dtype
        assert actual["model"][name].shape == tuple(tensor.shape)
    for tensor, value in zip(expected["dtypes"], actual["dtypes"], strict=True):
        np.testing.assert_array_equal(np.asarray(value), tensor.numpy())
        assert np.asarray(value).dtype == tensor.numpy().dtype
    np.testing.assert_array_equal(
        np.asarray(actual["brain"], "float32"), expected["brain"].float().numpy()
    )
    np.testing.assert_array_equal(np.asarray(actual["bytes"]), [0, 255])
    np.testing.assert_array_equal(np.asarray(actual["flags"]), [True, False])
    assert actual["plain"] == expected["plain"]
    assert actual["epoch"] == 3
    assert actual["names"] == {"x"}


def test_what_is_no_data_is_only_a_name(file):
    actual = torch_files.read(file)
    group = actual["optimizer"]["param_groups"][0]
    function = f"{__name__}.exclude_bias_and_norm"
    assert group == {"lr": 0.25, "params": [0], "filter": inert_pickle.Name(function)}
    assert actual["args"] == inert_pickle.Unknown("argparse.Namespace")
    assert actual["device"] == inert_pickle.Unknown("torch.device")


def test_pytorch_reads_what_is_written(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.normal(size=(3, 4, 5)).astype("float32"),
        "transposed": rng.normal(size=(3, 4)).astype("float64").T,
        "counter": np.array(7, "int64"),
        "half": rng.normal(size=2).astype("float16"),
        "größe": np.zeros((0, 2), "float32"),
    }
    for name in ("state.pth", "state.safetensors"):
        path = tmp_path / name
        torch_files.write(path, arrays)
        first = path.read_bytes()
        torch_files.write(path, arrays)
        assert path.read_bytes() == first
        if name == "state.pth":
            loaded = torch.load(path, weights_only=True)
            assert list(loaded) == list(arrays)
            mapped = torch.load(path, weights_only=True, mmap=True)
        else:
            from safetensors.torch import load_file

            loaded = mapped = load_file(path)
        ours = torch_files.read(path)
        for key, array in arrays.items():
            np.testing.assert_array_equal(loaded[key].numpy(), array)
            np.testing.assert_array_equal(mapped[key].numpy(), array)
            np.testing.assert_array_equal(np.asarray(ours[key]), array)
            assert loaded[key].numpy().dtype == np.asarray(ours[key]).dtype
    assert sorted(os.listdir(tmp_path)) == ["state.pth", "state.safetensors"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    torch_files.write(tmp_path / "a.pth", {"a": np.zeros(2, "float32")})
    before = (tmp_path / "a.pth").read_bytes()
    with pytest.raises(KeyError):
        torch_files.write(tmp_path / "a.pth", {"a": np.zeros(2, "complex64")})
    assert (tmp_path / "a.pth").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.pth"]


class Runs:
    """Unpickled by `pickle` or an unguarded `torch.load`, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_does_not_run(tmp_path, zipped):
    harm = tmp_path / "harm"
    path = tmp_path / "bad.pth"
    content = {"model": {"weight": torch.ones(2)}, "x": Runs(str(harm))}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"calls \w+\.mkdir, which is not data"):
        torch_files.read(path)
    assert not harm.exists()
    torch.load(path, weights_only=False)  # the file is a real attack
    assert harm.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",  # a call
        b"(S'true'\nios\nsystem\n.",  # INST, the call of protocol 0
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x82\x01.",  # a registered extension
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n(cos\npath\nS'system'\ntR(S'true'\ntR.",
        b"cbuiltins\nmap\n(cos\nsystem\n(S'true'\nltR.",
        b"}(]K\x01u.",  # a list for a key
        b"\x8f(]\x90.",  # a list in a set
        b"h\x05.",  # a value that was never stored
        b"K\x01",  # no end
        b".",  # nothing
        b"K\x01K\x02.",  # two values
        b"R.",
        b"(.",
        b"t.",
        b"K\x01Q.",  # a persistent id
        b"\x8a\xff\x01.",  # a number that is cut off
        b"\xff",
        b"",
    ],
)
def test_broken_and_hostile_pickles_are_refused(program):
    with pytest.raises(ValueError, match=r"it |pickle|opcode|expected|stream"):
        inert_pickle.read(b"\x80\x02" + program, {})


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol(protocol):
    value = [None, True, 1, -300, 1 << 40, 1.5, "ü", ["x"], ("y", 2), {"z": {3: 4.0}}]
    assert inert_pickle.read(pickle.dumps(value, protocol), {}) == value
    stream = io.BytesIO(pickle.dumps(1, protocol) + pickle.dumps(2, protocol))
    assert [inert_pickle.read(stream, {}) for _ in range(2)] == [1, 2]


def test_truncated_files_are_refused(file):
    data = file.read_bytes()
    for length in (0, 1, 10, len(data) // 3, len(data) - 100, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match="must be a checkpoint of PyTorch"):
            torch_files.read(file)


def test_files_with_random_bytes_raise_nothing_but_value_errors(file):
    rng, data = np.random.default_rng(0), file.read_bytes()
    refused = 0
    for _ in range(300):
        broken = bytearray(data)
        for position in rng.integers(0, 2500, rng.integers(1, 4)):
            broken[position] = rng.integers(256)
        file.write_bytes(broken)
        try:
            for tensor in torch_files.read(file)["dtypes"]:
                np.asarray(tensor)
        except (ValueError, KeyError):  # KeyError: the name itself was hit
            refused += 1
    assert refused > 100


def test_a_flipped_byte_of_a_tensor_is_noticed(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"a": torch.full((1000,), 3.0)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(np.full(1000, 3, "<f4").tobytes()) + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged"):
        np.asarray(torch_files.read(path)["a"])


@pytest.mark.parametrize(
    "data",
    [
        b"loss,accuracy\n1.0,0.5\n" * 9,
        b"{}",
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        b"PK\x03\x04",
    ],
)
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "file.pth"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"file\.pth"):
        torch_files.read(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(ValueError, match="must be a checkpoint"):
            torch_files.read(path)


def rewrite(path, change):
    """Rewrites the archive at `path`, each file as `change(name, data)` gives it."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            if (data := change(name, data)) is not None:
                archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, d: None if n.endswith("data.pkl") else d, "holds no data.pkl"),
        (lambda n, d: None if "data/" in n else d, "lacks the storage"),
        (lambda n, d: d[:-4] if "data/" in n else d, "a tensor of 48 bytes has 44"),
        (lambda n, d: b"big" if n.endswith("byteorder") else d, "big-endian"),
        # rows of 4 numbers, 400 apart
        (lambda n, d: d.replace(b"K\x04K\x01\x86", b"M\x90\x01K\x01\x86"), "shape"),
        # 300 rows where there are 3, all of them the first
        (lambda n, d: d.replace(b"K\x03K\x04\x86", b"M\x2c\x01K\x04\x86"), "shape"),
        (lambda n, d: d.replace(b"FloatStorage", b"EvilStorage"), "unknown kind"),
    ],
)
def test_archives_that_contradict_themselves_are_refused(tmp_path, change, message):
    path = tmp_path / "a.pth"
    torch.save({"a": torch.arange(12.0).reshape(3, 4)}, path)
    rewrite(path, change)
    with pytest.raises(ValueError, match=message):
        np.asarray(torch_files.read(path)["a"])


def test_compressed_archives_are_refused(tmp_path):
    """What PyTorch never writes, and a small file that fills the memory would be."""
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(ValueError, match="it is compressed"):
        torch_files.read(path)
