"""Images and labels in memory, of whichever library, as NumPy arrays."""

import sys
from collections.abc import Sequence

import numpy as np

from keras_vicreg.data.image_files import to_rgb


def is_array(x) -> bool:
    """Whether `x` is an array or a tensor, of any library."""
    return hasattr(x, "__array__")


def in_memory(x) -> bool:
    """Whether `x` is an array, or a list or another sequence, and no dataset."""
    return is_array(x) or is_list(x)


def is_list(x) -> bool:
    """Whether `x` is a list, a tuple or another sequence, such as a column of rows."""
    return isinstance(x, Sequence) and not isinstance(x, (str, bytes))


def as_array(x) -> np.ndarray:
    """An array, a tensor (TensorFlow, JAX, PyTorch) or a list of numbers as an array.

    bfloat16, which NumPy does not know, becomes float32.
    """
    if hasattr(x, "detach"):  # PyTorch's: on a device, or part of a graph
        x = x.detach().cpu()
        x = x.float() if "bfloat16" in str(x.dtype) else x
    x = np.asarray(x)
    return x.astype("float32") if x.dtype.name == "bfloat16" else x


def as_images(x) -> np.ndarray:
    """What `as_array` takes, or a list of images of one size, as an array.

    Args:
        x: array or tensor `(n, ...)`, or a sequence of arrays, tensors or Pillow's
            images.

    Raises:
        ValueError: if the images of a list differ in size.
    """
    if not is_list(x) or not len(x):
        return as_array(x)
    images = [as_image(image) for image in x]
    shapes = {image.shape: None for image in images}
    if len(shapes) > 1:
        raise ValueError(
            "The images of a list must have one size; `kv.load_images(images, "
            f"image_size)` gives them one. Received: shapes {[*shapes][:3]}"
        )
    return np.stack(images)


def as_image(x) -> np.ndarray:
    """One array, tensor or Pillow image (to RGB) as an array."""
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(x, pillow.Image):
        return np.asarray(to_rgb(x))
    return as_array(x)


def as_views(x) -> tuple[np.ndarray, ...]:
    """Images, or the batches of a pair of views, as a tuple of arrays.

    Args:
        x: what `as_images` takes; or a tuple or list of batches `(n, height, width,
            channels)`.
    """
    if isinstance(x, (list, tuple)) and x and is_array(x[0]) and len(x[0].shape) == 4:
        return tuple(map(as_array, x))
    return (as_images(x),)
