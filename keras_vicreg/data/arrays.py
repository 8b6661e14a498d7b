"""Images in memory as a source: arrays, tensors and lists, alone or with labels."""

import numpy as np

from keras_vicreg.data.image_checks import check_images, check_pixels, check_shape
from keras_vicreg.data.in_memory import as_array, as_image, is_array
from keras_vicreg.data.labels import check_labels
from keras_vicreg.data.rgb import as_rgb

CHANNELS = (1, 3, 4)


def open_arrays(images, labels=None):
    """Images and their labels, checked and converted.

    Args:
        images: array or tensor `(n, height, width, channels)`, 0..255, of 1, 3 or 4
            channels, or a list of such images, of any sizes, or of Pillow's.
        labels: integers, one for each image. Defaults to `None`.

    Returns:
        A uint8 RGB array, or a list of such images; and int64 labels `(n,)` or `None`.

    Raises:
        ValueError: if they are something else.
    """
    if is_array(images):
        images = as_array(images)
        check_images(images, CHANNELS)
        if not images.size:
            raise ValueError(
                "Images must be at least one. "
                f"Received: an array of shape {images.shape}"
            )
        images = as_rgb(images)
    else:
        images = [as_image(image) for image in images]
        images = [each[..., None] if each.ndim == 2 else each for each in images]
        check_separate(images)
        images = [as_rgb(image) for image in images]
    if labels is not None:
        labels = check_labels(labels, len(images), "source")
    return images, labels


def check_separate(images: list[np.ndarray]) -> None:
    """Raises unless images of any sizes are of 0..255 and can be made RGB.

    Their range is looked at together: one alone may be dark.

    Args:
        images: arrays `(height, width, channels)`.
    """
    if not images:
        raise ValueError("Images must be at least one. Received: none")
    for image in images:
        check_shape((1, *image.shape), CHANNELS)
    check_pixels(np.concatenate([image.ravel() for image in images]))
