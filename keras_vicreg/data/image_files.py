"""Image files, on disk or in memory, decoded by Pillow to uint8 RGB arrays."""

import functools
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from keras_vicreg.data.bit_depth import (
    FULL,
    SixteenBits,
    full_scale,
    highest_of,
    warn_of_range,
)
from keras_vicreg.data.unreadable import Unreadable


def decode_image(
    source, image_size: tuple[int, int] | None = None, see_range=warn_of_range
) -> np.ndarray:
    """Decodes one image to RGB, upright, at `image_size`.

    Greyscale and palette images become RGB, images of 16 bits, or of 12 where the file
    says so, are scaled to 8, transparent ones are laid on white, an animation gives
    its first frame, and the EXIF orientation is applied. The image is resized
    (bicubic, antialiased) until it covers `image_size` and its centre is cropped.

    Args:
        source: Path of a file, or its content as `bytes`.
        image_size: `(height, width)`, or `None` for the image's own size.
        see_range: function of the highest value of an image of 16 bits. Defaults to a
            warning where that leaves few grey levels.

    Returns:
        Array `(height, width, 3)`, uint8.

    Raises:
        Whatever Pillow raises for a file that it cannot read.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as raw:
        if image_size is not None:
            # A JPEG far too large is decoded at 1/2, 1/4 or 1/8, yet at twice the size
            # that is needed, so that the bicubic filter still decides the result.
            raw.draft(None, (2 * max(image_size),) * 2)
        full = full_scale(raw)
        raw.load()
        ImageOps.exif_transpose(raw, in_place=True)
        image = to_rgb(raw, full, see_range)
    return resize_image(image, image_size)


def resize_image(image, image_size: tuple[int, int] | None) -> np.ndarray:
    """Resizes a Pillow image or a uint8 array to cover `image_size`; crops the centre.

    Args:
        image: `PIL.Image.Image` in RGB, or array `(height, width, 3)`, uint8.
        image_size: `(height, width)`, or `None` to leave the size alone.

    Returns:
        Array `(height, width, 3)`, uint8.
    """
    from PIL import Image, ImageOps

    if image_size is None:
        return np.asarray(image)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    height, width = image_size
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC))


def to_rgb(image, full: int = 255, see_range=warn_of_range):
    """A Pillow image in RGB, on white where it is transparent.

    Args:
        image: `PIL.Image.Image`, loaded.
        full: int, the value that is white in its file. Defaults to 255.
        see_range: as in `decode_image`.
    """
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating point pixels of unknown range")
    deep = image.mode.startswith("I")  # "I;16" and its kin, or "I" of 32 bits
    if deep and full == 255:
        full = FULL
    if full == FULL:
        see_range(highest_of(image))
    if deep:
        pixels = np.asarray(image).astype("float64")
        if pixels.min() < 0 or pixels.max() > full:
            raise ValueError(f"pixels outside 0..{full}")
        pixels = np.rint(pixels / (full / 255)).astype("uint8")
        return Image.fromarray(pixels).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


class ImageReader:
    """Decodes many images in threads; leaves out the ones that cannot be read.

    Images of 16 bits that end where the range of a sensor does give one warning.

    Args:
        image_size: `(height, width)` of every image, or `None` when all images have
            the same size already.
        unreadable: the `Unreadable` that counts those that are left out, and names
            each once.

    Raises:
        ValueError: if `image_size` is `None` and the images differ in size.
    """

    def __init__(self, image_size: tuple[int, int] | None, unreadable: Unreadable):
        self.image_size = image_size
        self.unreadable = unreadable
        self._deep = SixteenBits()
        self._first = None  # (name, shape) of the first image, when no size is given
        self._threads = ThreadPoolExecutor(os.cpu_count())

    def read(self, records: Sequence[tuple]) -> list[tuple[np.ndarray, int]]:
        """Decodes `(name, source, label)` records to `(image, label)` pairs."""
        records = [record for record in records if record[0] not in self.unreadable]
        pairs = []
        for record, image in zip(records, self._threads.map(self._decode, records)):
            if isinstance(image, Exception):
                self.unreadable.add(record[0], image)
            else:
                self._check_size(record[0], image)
                pairs.append((image, record[2]))
        self.unreadable.say()
        self._deep.say()
        return pairs

    def read_in_chunks(self, records: Iterable[tuple], size: int) -> Iterator[list]:
        """Calls `read` on `size` records at a time."""
        records = iter(records)
        while chunk := list(islice(records, size)):
            yield self.read(chunk)

    def _decode(self, record):
        try:
            see_range = functools.partial(self._deep.see, record[0])
            return decode_image(record[1], self.image_size, see_range)
        except (
            Exception
        ) as error:  # decoders meet damaged bytes with errors of any kind
            return error

    def _check_size(self, name, image):
        if self._first is None:
            self._first = name, image.shape
        elif image.shape != self._first[1]:
            sizes = [
                f"{each!r} of {shape[0]} x {shape[1]} px"
                for each, shape in (self._first, (name, image.shape))
            ]
            raise ValueError(
                "`image_size` must be given when the images differ in size. "
                f"Received: image_size=None with {' and '.join(sizes)}"
            )
