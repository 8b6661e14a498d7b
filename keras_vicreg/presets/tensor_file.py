"""Weights as safetensors: written by its library, read here.

Reading is ours for three reasons: the bytes whose hash was checked are the bytes that
are used, without a second look at the disk; a header is refused for what a lenient
parser forgives, such as a name that comes twice; and bfloat16 needs no framework.
"""

import math

import numpy as np

from keras_vicreg.presets import strict_json

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
MAX_HEADER = 1 << 20  # bytes; 250 bytes a tensor leave room for 4,000 tensors


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype of one of `DTYPES`, bfloat16 included."""
    if name == "bfloat16":
        from ml_dtypes import bfloat16

        return np.dtype(bfloat16)
    return np.dtype(name)


def write(path, arrays: dict[str, np.ndarray]) -> None:
    """Writes named arrays of one of `DTYPES` to a safetensors file."""
    from safetensors.numpy import save_file

    save_file({k: np.asarray(v, order="C") for k, v in arrays.items()}, path)


def body_size(shapes: dict[str, tuple], dtype: str) -> int:
    """The bytes that arrays of these shapes take in a file, its header apart."""
    numbers = sum(math.prod(shape) for shape in shapes.values())
    return numbers * numpy_dtype(dtype).itemsize


def read(data: bytes, shapes: dict[str, tuple], dtype: str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, which must be those expected and no others.

    Args:
        data: the whole file.
        shapes: name -> shape of every array expected.
        dtype: one of `DTYPES`.

    Returns:
        name -> float32 array. float32 arrays are read-only views of `data`.

    Raises:
        ValueError: if the file is malformed or holds anything else, or a value that
            is not finite.
    """
    header, body = _split(data)
    header.pop("__metadata__", None)
    if header.keys() != shapes.keys():
        name = min(header.keys() ^ shapes.keys())
        lacks = "lacks" if name in shapes else "must not hold"
        raise ValueError(f"it {lacks} the tensor {name[:100]!r}")
    offset, arrays = 0, {}
    stored = numpy_dtype(dtype).newbyteorder("<")
    for name in sorted(header, key=lambda name: _begin(header[name])):
        end = offset + math.prod(shapes[name]) * stored.itemsize
        expected = {
            "dtype": DTYPES[dtype],
            "shape": list(shapes[name]),
            "data_offsets": [offset, end],
        }
        if header[name] != expected or not _whole_numbers(header[name]):
            raise ValueError(
                f"its tensor {name!r} must be {expected}, not {str(header[name])[:200]}"
            )
        array = np.frombuffer(body[offset:end], stored).reshape(shapes[name])
        arrays[name] = array.astype("float32", copy=False)
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"its tensor {name!r} holds numbers that are not finite")
        offset = end
    if offset != len(body):
        raise ValueError(f"it holds {len(body) - offset} bytes of no tensor")
    return arrays


def _split(data: bytes) -> tuple[dict, memoryview]:
    """The parsed header and the bytes behind it."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER, len(data) - 8):
        raise ValueError(f"its header cannot be {length} bytes long")
    header = strict_json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header, memoryview(data)[8 + length :]


def _begin(tensor) -> tuple[int, int]:
    """Where a tensor begins and ends, if its entry of the header makes sense at all."""
    place = tensor.get("data_offsets") if isinstance(tensor, dict) else None
    if not isinstance(place, list) or [type(p) for p in place] != [int, int]:
        raise ValueError("one of its tensors has no place in the file")
    return tuple(place)


def _whole_numbers(tensor: dict) -> bool:
    """Whether no 2.0 or true, which equal numbers in Python, stands for a number."""
    return all(type(n) is int for n in (*tensor["shape"], *tensor["data_offsets"]))
