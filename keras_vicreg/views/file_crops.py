"""Resized crops straight from image files of any size, for `tf.data` on the CPU.

On a CPU the dense matrices of `augment.RandomResizedCrop` are the wrong tool for large
photographs. Here an image is decoded only as far as its crops reach, and every block of
a resized crop is a product with the few pixels that weigh in it.
"""

import io
import warnings

import numpy as np

from keras_vicreg.augment.arrays import tensorflow_ops
from keras_vicreg.augment.resampling import filter_weights
from keras_vicreg.data.image_files import decode_image

# Columns (rows) of a resized crop that are computed in one product.
BLOCK = 32

# The filters end at twice the distance of neighbouring pixels.
SUPPORT = 2

# A decoder smooths the colours across pixels: with this margin around it, a part of a
# JPEG file decodes to the same pixels as in the whole.
MARGIN = 2

END_OF_JPEG = b"\xff\xd9"


def decode(path, boxes_for):
    """Decodes an image file, a JPEG file only where there are boxes.

    Args:
        path: scalar string tensor, the name of a file that Pillow can read.
        boxes_for: function of `(height, width)`, int32 tensor `(2,)`, that gives
            boxes, int32 tensor `(boxes, 4)`: top, left, height, width.

    Returns:
        uint8 tensor `(height, width, 3)`, the image or a part of it, upright and in
        RGB as `load_images` has it, without a pixel where the file cannot be read;
        and the boxes, moved into it.
    """
    import tensorflow as tf

    contents = tf.io.read_file(path)

    def part():
        shape = tf.io.extract_jpeg_shape(contents)[:2]
        boxes = boxes_for(shape)
        start = tf.reduce_min(boxes[:, :2], axis=0) - MARGIN
        end = tf.reduce_max(boxes[:, :2] + boxes[:, 2:], axis=0) + MARGIN
        start, end = tf.maximum(start, 0), tf.minimum(end, shape)
        # As Pillow decodes; TensorFlow's default transform is less accurate.
        image = tf.io.decode_and_crop_jpeg(
            contents,
            tf.concat([start, end - start], axis=0),
            channels=3,
            dct_method="INTEGER_ACCURATE",
        )
        return image, boxes - tf.pad(start, [[0, 2]])

    def whole():
        image = tf.numpy_function(_decode_whole, [path, contents], tf.uint8)
        image = tf.ensure_shape(image, (None, None, 3))
        return image, boxes_for(tf.shape(image)[:2])

    plain = tf.ensure_shape(tf.numpy_function(_is_plain, [contents], tf.bool), ())
    image, boxes = tf.cond(plain, part, whole)
    return tf.ensure_shape(image, (None, None, 3)), boxes


def _is_plain(contents: bytes) -> bool:
    """Whether a file is a whole JPEG file, upright, in grey or in RGB."""
    from PIL import ExifTags, Image

    if not contents.endswith(END_OF_JPEG):
        return False
    try:
        with Image.open(io.BytesIO(contents), formats=["JPEG"]) as image:
            upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            return upright and image.mode in ("L", "RGB")
    except Exception:  # decoders meet damaged bytes with errors of any kind
        return False


def _decode_whole(path: bytes, contents: bytes) -> np.ndarray:
    try:
        return decode_image(contents)
    except Exception as error:  # likewise
        reason = str(error) or type(error).__name__
        warnings.warn(
            f"Skipped an unreadable image: {path.decode()!r} ({reason})", stacklevel=1
        )
        return np.zeros((0, 0, 3), "uint8")


def crop(image, box, size, interpolation: str):
    """Cuts a box out of one image and resizes it, as `augment.RandomResizedCrop`.

    Args:
        image: tensor `(height, width, channels)`, uint8 or float, 0..255.
        box: int32 tensor `(4,)`: top, left, height, width.
        size: pair of ints, height and width of the crop.
        interpolation: `"bicubic"` or `"bilinear"`.

    Returns:
        float32 tensor `(1, height, channels, width)`, 0..255.
    """
    import tensorflow as tf

    channels = image.shape[2]
    top, left, height, width = tf.unstack(box)
    part = image[top : top + height, left : left + width]
    part = tf.cast(tf.transpose(part, (0, 2, 1)), tf.float32)
    part = tf.reshape(part, (height * channels, width))
    window, starts, weights = _blocks(width, size[1], interpolation)
    wide = tf.concat(
        [
            tf.matmul(tf.slice(part, (0, start), (-1, window)), block)
            for start, block in zip(starts, weights)
        ],
        axis=1,
    )[:, : size[1]]
    wide = tf.clip_by_value(wide, 0.0, 255.0)
    wide = tf.reshape(wide, (height, channels * size[1]))
    window, starts, weights = _blocks(height, size[0], interpolation)
    tall = tf.concat(
        [
            tf.matmul(block, wide[start : start + window], transpose_a=True)
            for start, block in zip(starts, weights)
        ],
        axis=0,
    )[: size[0]]
    tall = tf.clip_by_value(tall, 0.0, 255.0)
    return tf.reshape(tall, (1, size[0], channels, size[1]))


def _blocks(length, size: int, interpolation: str):
    """How the blocks of a resized axis come from windows of the axis.

    Returns:
        The length of the windows, a scalar int32 tensor; the first pixel of every
        window, and what its pixels weigh in the block, lists of scalar int32 and of
        float32 tensors `(window, BLOCK)`. What the last block has too much repeats
        the last pixel.
    """
    import tensorflow as tf

    ops = tensorflow_ops()
    count = -(-size // BLOCK)
    shrinkage = tf.cast(length, tf.float32) / size
    reach = SUPPORT * tf.maximum(shrinkage, 1.0) + 1.0
    window = tf.cast(BLOCK * shrinkage + 2.0 * reach, tf.int32) + 1
    window = tf.minimum(window, length)
    starts = BLOCK * tf.range(count, dtype=tf.float32) * shrinkage - reach
    starts = tf.clip_by_value(tf.cast(starts, tf.int32), 0, length - window)
    source = tf.cast(starts[:, None] + tf.range(window), tf.float32)[:, :, None]
    target = tf.reshape(tf.range(count * BLOCK, dtype=tf.float32), (count, 1, BLOCK))
    target = tf.minimum(target, size - 1.0)
    length = tf.cast(length, tf.float32)
    weights = filter_weights(ops, source, target, length, size, interpolation)
    return window, tf.unstack(starts), tf.unstack(weights)
