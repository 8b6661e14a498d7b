"""Arrays of images, grey, RGB or transparent, as uint8 RGB of one size."""

import numpy as np

from keras_vicreg.data.image_files import resize_image


def as_rgb(images: np.ndarray) -> np.ndarray:
    """Rounded and clipped to uint8, on white where transparent, grey repeated.

    Args:
        images: array `(..., channels)`, 0..255, with 1, 3 or 4 channels.

    Returns:
        Array `(..., 3)`, uint8; the same one where it is that already.
    """
    if images.dtype != np.uint8:
        images = np.clip(np.rint(images), 0, 255).astype("uint8")
    if images.shape[-1] == 4:
        alpha = images[..., 3:] / np.float32(255)
        images = np.rint(images[..., :3] * alpha + 255 * (1 - alpha)).astype("uint8")
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def resized(images, image_size: tuple[int, int] | None):
    """Images of one size, covered and cropped as `resize_image` does it.

    Args:
        images: uint8 array `(n, height, width, 3)`, or a list of such images.
        image_size: `(height, width)`, or `None` for the size they have.

    Returns:
        The same where nothing is to be done, else of the same kind.
    """
    if image_size is None or getattr(images, "shape", ())[1:3] == image_size:
        return images
    found = [resize_image(image, image_size) for image in images]
    return found if isinstance(images, list) else np.stack(found)
