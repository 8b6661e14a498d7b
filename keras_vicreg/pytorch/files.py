"""PyTorch's checkpoint files, read and written without PyTorch.

Three formats are read, told apart by their first bytes: the zip archive of PyTorch
1.6 and later, the row of pickles before it, and safetensors. Reading looks up and runs
nothing (see `inert_pickle`), so a file may come from anywhere, and tensors are loaded
when they are asked for, each with no more numbers than the file has for it.
"""

import dataclasses
import functools
import io
import math
import mmap
import os
import pathlib
import reprlib
import struct
import zipfile
from collections.abc import Callable

import ml_dtypes
import numpy as np

from keras_vicreg.pytorch import inert_pickle
from keras_vicreg.terminal import printable

# How a file of PyTorch before 1.6 goes on after the number of its pickle's protocol.
LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
MAX_HEAD = 1 << 16  # bytes of a pickle that holds a number, or sizes of types
MAX_DIRECTORY = 1 << 22  # bytes of an archive's table of contents, 40,000 files
MAX_SIZE = 1 << 40
MAX_DIMENSIONS = 64
# What the standard library raises for a file that is not what it says.
DAMAGE = (
    *(ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile),
    *(ArithmeticError, MemoryError, struct.error),
)
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
# What stands beside the weights at most.
OTHER_STORAGES = {
    "ComplexFloatStorage": np.dtype("<c8"),
    "ComplexDoubleStorage": np.dtype("<c16"),
    "QInt8Storage": np.dtype("i1"),
    "QUInt8Storage": np.dtype("u1"),
    "QInt32Storage": np.dtype("<i4"),
    "storage.UntypedStorage": np.dtype("u1"),
}
# What a file begins with -> what it is, where people take it for a checkpoint.
OTHERS = {
    b"\x1f\x8b": "it is compressed with gzip: unpack it",
    b"7z\xbc\xaf": "it is a 7z archive: unpack it",
    b"\x89HDF": "it is an HDF5 file, not of PyTorch",
    b"version https://git-lfs": "it is a pointer of Git LFS: `git lfs pull` gets the "
    "file itself",
    b"<": "it is a web page, not the file behind it: download that",
}
# A file of an archive -> what the archive is.
OTHER_ARCHIVES = {
    "constants.pkl": "it is a program of TorchScript, which is not run: save its "
    "tensors alone, `torch.save(torch.jit.load(path).state_dict(), new_path)`",
    "models/model.json": "it is a program of torch.export, which is not run: save its "
    "tensors alone, `torch.save(torch.export.load(path).state_dict, new_path)`",
    "model.weights.h5": "it is a model of Keras, which needs no conversion",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    """A run of numbers in a file; `load` reads so many bytes."""

    dtype: np.dtype
    size: int
    load: Callable[[int], bytes] = dataclasses.field(repr=False)

    def numbers(self) -> np.ndarray:
        data = self.load(self.size * self.dtype.itemsize)
        return np.frombuffer(data, self.dtype, self.size)  # raises if there are fewer


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a file; `np.asarray` loads it."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple

    @property
    def nbytes(self) -> int:
        """The bytes it takes when it is loaded."""
        return math.prod(self.shape) * self.storage.dtype.itemsize

    def __array__(self, dtype=None, copy=None):
        if math.prod(self.shape) > self.storage.size:
            raise ValueError(
                f"A tensor must have its own numbers. Received: {self.shape} expanded "
                f"from {self.storage.size}; save `tensor.clone()`"
            )
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
            calls functions of Python's own library to be read. Neither the time nor
            the memory that a refusal takes grows with what a file claims to hold.
    """
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(512)
            file.seek(0)
            if start[:4] == b"PK\x03\x04":
                return _read_archive(path)
            if start[:1] == b"\x80":
                return _read_legacy(file)
        if start[8:9] == b"{":
            return _read_safetensors(path)
        raise ValueError(_words_for(start))
    except DAMAGE as error:
        words = str(error)[:300] or type(error).__name__
        raise ValueError(
            "`path` must be a checkpoint of PyTorch or a safetensors file. "
            f"Received: {printable(path)}: {printable(words)}"
        ) from None


def _words_for(start):
    """What a file is that begins so."""
    if not start:
        return "the file is empty"
    if start[257:262] == b"ustar":
        return (
            "it is a tar archive, which PyTorch's .pth.tar is not: unpack it, or if "
            "PyTorch before 0.2 wrote it, load it and save it again"
        )
    others = (OTHERS[begin] for begin in OTHERS if start.lstrip().startswith(begin))
    return next(others, "it begins like neither")


def _read_safetensors(path):
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    except AttributeError as error:  # a dtype that only newer packages have
        raise ValueError(f"it holds numbers of an unknown kind ({error})") from None


class _Sparing(io.FileIO):
    """A file of which no more is read at once than a table of contents has."""

    def read(self, size=-1):
        data = super().read(size if 0 <= size <= MAX_DIRECTORY else MAX_DIRECTORY + 1)
        if len(data) > MAX_DIRECTORY:
            raise ValueError("its table of contents is too large")
        return data


def _read_archive(path):
    """The format since PyTorch 1.6: a pickle and a file a storage."""
    with _Sparing(path) as file:
        zipfile.ZipFile(file)  # raises before it reads what is too large
    archive = zipfile.ZipFile(path)
    files = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    _check_archive(files, os.path.getsize(path))
    if "byteorder" in files and archive.read(files["byteorder"]) != b"little":
        raise ValueError("its numbers are big-endian")

    def load(key, length):
        if f"data/{key}" not in files:
            raise ValueError(f"it lacks the storage {key}")
        _check_length(length, files[f"data/{key}"].file_size)
        try:
            return archive.read(files[f"data/{key}"])
        except DAMAGE as error:
            raise ValueError(f"its storage {key} is damaged: {error}") from None

    return _unpickle(archive.read(files["data.pkl"]), load)


def _check_archive(files, size):
    """Raises unless an archive is PyTorch's, and no more than its file."""
    for name, words in OTHER_ARCHIVES.items():
        if name in files:
            raise ValueError(words)
    if any(info.compress_type != zipfile.ZIP_STORED for info in files.values()):
        raise ValueError("it is compressed, as PyTorch's files are not")
    if "data.pkl" not in files:
        raise ValueError("it holds no data.pkl")
    if sum(info.file_size for info in files.values()) > size:
        raise ValueError("its files overlap")
    if files["data.pkl"].file_size > inert_pickle.MAX_MEMORY:
        raise ValueError("its pickle is too large")


def _read_legacy(file):
    """The format before PyTorch 1.6: five pickles, then the storages in a row."""
    if not file.read(2 + len(LEGACY_MAGIC)).endswith(LEGACY_MAGIC):
        raise ValueError("it is a pickle, but not of PyTorch")
    _, about = (inert_pickle.read(file, {}, limit=MAX_HEAD) for _ in range(2))
    if not isinstance(about, dict) or about.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    places = {}  # key -> where the storage begins and ends

    def load(key, length):
        if key not in places:
            raise ValueError(f"it lacks the storage {key}")
        begin, end = places[key]
        _check_length(length, end - begin)
        return data[begin:end]

    sizes = {}
    value = _unpickle(file, load, sizes)
    keys = inert_pickle.read(file, {})
    begin = file.tell()
    for key in keys if isinstance(keys, list) else ():
        if type(key) is not str or key not in sizes:
            raise ValueError(f"it holds no tensor of the storage {reprlib.repr(key)}")
        numbers, itemsize = sizes[key]
        stored = data[begin : begin + 8]
        begin += 8
        if len(stored) == 8 and int.from_bytes(stored, "little") != numbers:
            raise ValueError(f"its storage {key!r} has another size than it says")
        places[key] = begin, begin + numbers * itemsize
        begin = places[key][1]
        if begin > len(data):
            raise ValueError("it ends too early")
    return value


def _check_length(expected, there):
    """Raises before anything is read that is not what the pickle says."""
    if expected != there:
        raise ValueError(f"a tensor of {expected} bytes has {there}")


def _unpickle(source, load, sizes=None):
    """The value of a pickle with tensors, whose storages `load` reads by their key."""

    def persistent(identity):
        if identity[0] == "module":  # the class of a module, and its source code
            return identity[1]
        kind, name, key, _, size, *view = identity
        path = name.path.removeprefix("torch.")
        dtype = STORAGES.get(path) or OTHER_STORAGES.get(path)
        known = kind == "storage" and dtype and not any(view)
        if not known or type(size) is not int or type(key) is not str:
            raise ValueError(f"it holds a storage of an unknown kind, {name.path}")
        if not 0 <= size < MAX_SIZE:
            raise ValueError("it holds a storage of an impossible size")
        if sizes is not None:
            sizes[key] = size, dtype.itemsize
        return Storage(dtype, size, functools.partial(load, key))

    return inert_pickle.read(source, CALLS, persistent)


def _tensor(storage, offset, shape, strides, *_):
    """The tensor that PyTorch would rebuild from these arguments."""
    if not (
        isinstance(storage, Storage)
        and isinstance(shape, tuple)
        and isinstance(strides, tuple)
        and len(shape) == len(strides) <= MAX_DIMENSIONS
        and all(
            type(n) is int and 0 <= n < MAX_SIZE for n in (offset, *shape, *strides)
        )
        and (
            not math.prod(shape)
            or offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
            < storage.size
        )
    ):
        raise ValueError(
            f"it holds a tensor of an impossible shape, {reprlib.repr(shape)}"
        )
    return Tensor(storage, offset, shape, strides)


def _same(tensor, *_):
    return tensor


def _typed(function, _, arguments, *__):
    """A tensor of a subclass, or with attributes."""
    return CALLS[function.path](*arguments)


# What a checkpoint of a training run may call, and what that is here.
CALLS = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _same,
    "torch._utils._rebuild_parameter_with_state": _same,
    "torch._tensor._rebuild_from_type_v2": _typed,
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
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), bytes(data))


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
