"""Resized crops straight from image files of any size, for `tf.data` on the CPU.

On a CPU the dense matrices of `augment.RandomResizedCrop` are the wrong tool for large
photographs. Here an image is decoded only as far as its crops reach, and every block of
a resized crop is a product with the few pixels that weigh in it.
"""

import io
import os
from functools import partial
from pathlib import Path

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


def ignore(name, what) -> None:
    """What `decode` calls where nobody wants to know."""


def decode(path, boxes_for, skip=ignore, see=ignore):
    """Decodes an image file, a JPEG file only where there are boxes.

    Args:
        path: scalar string tensor, the name of a file that Pillow can read.
        boxes_for: function of `(height, width)`, int32 tensor `(2,)`, that gives
            boxes, int32 tensor `(boxes, 4)`: top, left, height, width.
        skip: function of a name and an error, called for a file that cannot be read.
            What it raises is an error of the pipeline.
        see: function of a name and the highest value of a file of 16 bits.

    Returns:
        uint8 tensor `(height, width, 3)`, the image or a part of it, upright and in
        RGB as `load_images` has it, without a pixel where the file cannot be read;
        and the boxes, moved into it.
    """
    import tensorflow as tf

    decoder = _Decoder(skip, see)
    contents, shape = tf.numpy_function(_open, [path], (tf.string, tf.int32))
    contents, shape = tf.ensure_shape(contents, ()), tf.ensure_shape(shape, (2,))
    # TensorFlow's own error for a file that has gone.
    contents = tf.cond(shape[0] < 0, lambda: tf.io.read_file(path), lambda: contents)

    def part():
        boxes = boxes_for(shape)
        start = tf.reduce_min(boxes[:, :2], axis=0) - MARGIN
        end = tf.reduce_max(boxes[:, :2] + boxes[:, 2:], axis=0) + MARGIN
        start, end = tf.maximum(start, 0), tf.minimum(end, shape)
        window = [path, contents, start, end - start]
        image = tf.numpy_function(decoder.part, window, tf.uint8)
        return image, boxes - tf.pad(start, [[0, 2]])

    def whole():
        image = tf.numpy_function(decoder.whole, [path, contents], tf.uint8)
        image = tf.ensure_shape(image, (None, None, 3))
        return image, boxes_for(tf.shape(image)[:2])

    image, boxes = tf.cond(shape[0] > 0, part, whole)
    return tf.ensure_shape(image, (None, None, 3)), boxes


class _Decoder:
    """Files -> pixels; what cannot be decoded has none. See `decode`."""

    def __init__(self, skip, see):
        self.skip, self.see = skip, see

    def whole(self, path: bytes, contents: bytes) -> np.ndarray:
        name = os.fsdecode(path)
        try:
            # A file that may not be read has no content, and Pillow says why.
            return decode_image(contents or name, see_range=partial(self.see, name))
        except Exception as error:  # damaged bytes give errors of any kind
            self.skip(name, error)
            return np.zeros((0, 0, 3), "uint8")

    def part(self, path: bytes, contents: bytes, start, size) -> np.ndarray:
        """Pixels of a JPEG file, from `start` on."""
        import tensorflow as tf

        try:
            with tf.device("CPU"):
                # As Pillow decodes; TensorFlow's default transform is less accurate.
                return tf.io.decode_and_crop_jpeg(
                    contents,
                    (*start, *size),
                    channels=3,
                    dct_method="INTEGER_ACCURATE",
                ).numpy()
        except tf.errors.OpError:
            rows, columns = map(slice, start, start + size)
            return self.whole(path, contents)[rows, columns]


def _open(path: bytes) -> tuple[bytes, np.ndarray]:
    """The content of a file, and height and width of a plain JPEG file.

    These are 0 for any other file, and -1 where there is none. A file that may not be
    read has no content.
    """
    try:
        contents = Path(os.fsdecode(path)).read_bytes()
    except FileNotFoundError:
        return b"", np.full(2, -1, "int32")
    except OSError:
        contents = b""
    return contents, np.array(_plain_size(contents), "int32")


def _plain_size(contents: bytes) -> tuple[int, int]:
    """Height and width of a whole JPEG file, upright, in grey or in RGB; else 0."""
    from PIL import ExifTags, Image

    if not contents.endswith(END_OF_JPEG):
        return 0, 0
    try:
        with Image.open(io.BytesIO(contents), formats=["JPEG"]) as image:
            upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            plain = upright and image.mode in ("L", "RGB")
            return image.size[::-1] if plain else (0, 0)
    except Exception:  # likewise
        return 0, 0


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
