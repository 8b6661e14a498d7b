"""Labels as users hand them over -> integers, one an image."""

import numpy as np

from keras_vicreg.data.in_memory import as_array


def check_labels(labels, count: int, name: str) -> np.ndarray:
    """Labels as an int64 vector, if they are one for each of `count` images.

    Args:
        labels: array, tensor or list of integers, `(count,)` or `(count, 1)`.
        count: how many images there are.
        name: what the images are called in an error.

    Raises:
        ValueError: if they are anything else.
    """
    labels = as_array(labels)
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"The labels of `{name}` must be integers, one for each image. Received: "
            f"an array of shape {labels.shape}, {labels.dtype}, for {count} images"
        )
    return labels.reshape(-1).astype("int64")
