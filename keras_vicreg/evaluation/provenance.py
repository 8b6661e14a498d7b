"""What a result was measured on and with: hashes and versions."""

import hashlib
import platform

import keras
import numpy as np

import keras_vicreg as kv


def provenance(encoder, **arrays) -> dict:
    """Hashes of an encoder and of data, and the versions at work, ready for JSON.

    Args:
        encoder: a Keras model, or `None` for the pixels.
        **arrays: name -> array, or tuple of arrays such as images and labels.

    Returns:
        `{"encoder": sha256, "data": {name: sha256}, "versions": {package: version}}`.
    """
    return {
        "encoder": fingerprint(encoder.get_weights() if encoder else []),
        "data": {name: fingerprint(parts) for name, parts in arrays.items()},
        "versions": versions(),
    }


def versions() -> dict:
    """Package -> version, of all that computes."""
    backend = keras.config.backend()
    return {
        "keras_vicreg": kv.__version__,
        "keras": keras.__version__,
        backend: __import__(backend).__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def fingerprint(arrays) -> str:
    """SHA-256 of arrays: of their types, shapes and values, in their order."""
    arrays = arrays if isinstance(arrays, (tuple, list)) else [arrays]
    digest = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()
