"""PyTorch's checkpoint files, read and written without PyTorch.

Three formats are read, told apart by their first bytes: the zip archive of PyTorch
1.6 and later, the row of pickles before it, and safetensors. Reading looks up and runs
nothing (see `inert_pickle`), so a file may come from anywhere, and tensors are loaded
when they are asked for.
"""

import dataclasses
import functools
import math
import mmap
import os
import pathlib
import struct
import zipfile
from collections.abc import Callable

import ml_dtypes
import numpy as np

from keras_vicreg.pytorch import inert_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_PICKLE = 1 << 26  # bytes of an archive's pickle, which holds no numbers
MAX_SIZE = 1 << 40
# What the standard library raises for a file that is not what it says.
DAMAGE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile)
STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers in a file."""

    dtype: np.dtype
    size: int
    load: Callable[[], bytes] = dataclasses.field(repr=False)

    def numbers(self) -> np.ndarray:
        data = self.load()
        if len(data) != self.size * self.dtype.itemsize:
            raise ValueError(
                f"a tensor of {self.size * self.dtype.itemsize} bytes has {len(data)}"
            )
        return np.frombuffer(data, self.dtype)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file; `np.asarray` loads it."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple

    def __array__(self, dtype=None, copy=None):
        numbers = self.storage.numbers()[self.offset :]
        strides = [stride * numbers.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(numbers, self.shape, strides)
        return np.array(view, dtype)


def read(path):
    """What a checkpoint file holds.

    Args:
        path: A file of `torch.save`, in either of its formats, or of safetensors.

    Returns:
        The object that was saved: plain values and containers, with `Tensor` (from
        safetensors: arrays) in them. Whatever else was in it, such as a function of
        the training script, is an inert name.

    Raises:
        ValueError: If there is no such file, or it is none of these, is damaged, or
            calls functions to be read.
    """
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(16)
            if start[:4] == b"PK\x03\x04":
                return _read_archive(zipfile.ZipFile(path))
            if start[:1] == b"\x80":
                return _read_legacy(
                    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                )
        if start[8:9] == b"{":
            from safetensors import SafetensorError
            from safetensors.numpy import load_file

            try:
                return load_file(path)
            except SafetensorError as error:
                raise ValueError(str(error)) from None
        raise ValueError("it begins like neither")
    except DAMAGE as error:
        raise ValueError(
            "`path` must be a checkpoint of PyTorch or a safetensors file. "
            f"Received: {path}: {error}"
        ) from None


def _read_archive(archive):
    """The format since PyTorch 1.6: a pickle and a file a storage."""
    files = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    if any(info.compress_type != zipfile.ZIP_STORED for info in files.values()):
        raise ValueError("it is compressed, as PyTorch's files are not")
    if "data.pkl" not in files:
        raise ValueError("it holds no data.pkl")
    if files["data.pkl"].file_size > MAX_PICKLE:
        raise ValueError("its pickle is too large")
    if "byteorder" in files and archive.read(files["byteorder"]) != b"little":
        raise ValueError("its numbers are big-endian")

    def load(key):
        if f"data/{key}" not in files:
            raise ValueError(f"it lacks the storage {key}")
        try:
            return archive.read(files[f"data/{key}"])
        except DAMAGE as error:
            raise ValueError(f"its storage {key} is damaged: {error}") from None

    return _unpickle(archive.read(files["data.pkl"]), load)


def _read_legacy(data):
    """The format before PyTorch 1.6: five pickles, then the storages in a row."""
    head = [inert_pickle.read(data, {}) for _ in range(3)]
    if head[0] != LEGACY_MAGIC:
        raise ValueError("it is a pickle, but not of PyTorch")
    if not isinstance(head[2], dict) or head[2].get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    places = {}  # key -> where the storage begins and ends

    def load(key):
        if key not in places:
            raise ValueError(f"it lacks the storage {key}")
        begin, end = places[key]
        return data[begin:end]

    sizes = {}
    value = _unpickle(data, load, sizes)
    keys = inert_pickle.read(data, {})
    for key in keys if isinstance(keys, list) else ():
        if key not in sizes:
            raise ValueError(f"it holds a storage {key!r} of no tensor")
        numbers, itemsize = sizes[key]
        length = data.read(8)
        if len(length) < 8:
            raise ValueError("it ends too early")
        if int.from_bytes(length, "little") != numbers:
            raise ValueError(f"its storage {key!r} has another size than it says")
        begin = data.tell()
        places[key] = begin, begin + numbers * itemsize
        if places[key][1] > len(data):
            raise ValueError("it ends too early")
        data.seek(places[key][1])
    return value


def _unpickle(source, load, sizes=None):
    """The value of a pickle with tensors, whose storages `load` reads by their key."""

    def storage(identity):
        kind, name, key, _, size, *view = identity
        dtype = STORAGES.get(name.path.removeprefix("torch."))
        known = kind == "storage" and dtype and not any(view)
        if not known or type(size) is not int or type(key) is not str:
            raise ValueError(f"it holds a storage of an unknown kind, {name.path}")
        if sizes is not None:
            sizes[key] = size, dtype.itemsize
        return Storage(dtype, size, functools.partial(load, key))

    return inert_pickle.read(source, CALLS, storage)


def _tensor(storage, offset, shape, strides, *_):
    """The tensor that PyTorch would rebuild from these arguments."""
    numbers = [offset, *shape, *strides]
    if (
        not isinstance(storage, Storage)
        or len(shape) != len(strides)
        or any(type(n) is not int or not 0 <= n < MAX_SIZE for n in numbers)
        or math.prod(shape) > storage.size
        or (
            math.prod(shape)
            and offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
            >= storage.size
        )
    ):
        raise ValueError(f"it holds a tensor of an impossible shape, {shape}")
    return Tensor(storage, offset, shape, strides)


def _dict(items=()):
    return {inert_pickle.plain_key(key): value for key, value in items}


def _set(items=()):
    return set(map(inert_pickle.plain_key, items))


def _unknown(path):
    return lambda *_: inert_pickle.Unknown(path)


# What a checkpoint of a training run may call, and what that is here.
CALLS = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": lambda *_: {},
    "__builtin__.bytes": lambda: b"",
    "_codecs.encode": lambda text, _: text.encode("latin-1"),
    "builtins.set": _set,
    "__builtin__.set": _set,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    **{
        path: _unknown(path)
        for path in (
            "numpy.dtype",
            "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar",
            "pathlib.PosixPath",
            "pathlib.WindowsPath",
            "torch.device",
            "torch.Size",
        )
    },
}


def write(path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a state dict that `torch.load(path, weights_only=True)` reads.

    Equal arrays give equal bytes. The file appears whole or not at all.

    Args:
        path: Where to; a name that ends in `.safetensors` makes a safetensors file.
        arrays: Name -> array of one of the dtypes PyTorch had from the beginning.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(arrays, partial)
        else:
            _write_archive(partial, arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write_archive(path, arrays):
    files = {"data.pkl": _pickle(arrays), "byteorder": b"little"}
    files |= {f"data/{i}": array.data for i, array in enumerate(arrays.values())}
    files |= {"version": b"3\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            # A ZipInfo of its own has no time of day in it.
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)


def _pickle(arrays) -> bytes:
    """The pickle, protocol 2, of an ordered dict of tensors."""
    kinds = {dtype: name.encode() for name, dtype in STORAGES.items()}
    ordered_dict = b"ccollections\nOrderedDict\n)R"
    program = b"\x80\x02" + ordered_dict + b"("
    for i, (name, array) in enumerate(arrays.items()):
        strides = [stride // array.itemsize for stride in array.strides]
        program += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        program += _text("storage") + b"ctorch\n" + kinds[array.dtype] + b"\n"
        program += _text(str(i)) + _text("cpu") + _integer(array.size) + b"tQ"
        program += _integer(0) + _integers(array.shape) + _integers(strides)
        program += b"\x89" + ordered_dict + b"tR"
    return program + b"u."


def _text(text) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _integer(number) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", number)


def _integers(numbers) -> bytes:
    return b"(" + b"".join(map(_integer, numbers)) + b"t"
