"""Image files of more than 8 bits: the range that they say, or that they reach."""

import re
import warnings

import numpy as np

FULL = 65535
# Sensors have 10 to 14 bits. What ends below that in a file of 16 is likely to be
# theirs, written down without being scaled.
SENSOR = 2**14
MAX_SAMPLE_VALUE = 281  # a tag of TIFF; other values than these may be one image's own
WHOLE_BITS = [2**bits - 1 for bits in range(9, 17)]


def full_scale(raw) -> int:
    """The value that is white, as the file has it: 4095 of 12 bits, 65535 of 16.

    Args:
        raw: an image that Pillow has opened and not loaded.

    Returns:
        An int; 255 for files of 8 bits or less.
    """
    form = str(raw.tile[0].args) if raw.tile else ""
    bits = re.search(r";(12|16)", form)
    full = 2 ** int(bits[1]) - 1 if bits else 255
    said = getattr(raw, "tag_v2", {}).get(MAX_SAMPLE_VALUE, full)
    said = (*said, full)[0] if isinstance(said, tuple) else said
    return said if full == FULL and said in WHOLE_BITS else full


def highest_of(image) -> int:
    """The highest value of a loaded image of 16 bits, transparency left out.

    Of colours Pillow keeps the upper 8 bits; the others are taken as full.
    """
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return int(pixels.max())
    highest = int(pixels[..., :3].max())
    return highest and 256 * highest + 255


def warn_of_range(highest: int, name: str | None = None) -> None:
    """Says so where 16-bit images end where the range of a sensor does.

    Their values are read as 0..65535: to stretch each to its own range would make
    dark images bright.

    Args:
        highest: int, the highest value of one or of all of them.
        name: of one of them. Defaults to `None`.
    """
    if 0 < highest < SENSOR:
        known = f", {name!r} for one," if name else ""
        warnings.warn(
            f"16-bit images{known} end at {highest:,} of {FULL:,}, which leaves "
            f"{round(highest / 257) + 1} of 256 grey levels. Where their range is a "
            "smaller one, such as 0..4,095, scale the files to 0..65,535.",
            stacklevel=3,
        )


class SixteenBits:
    """The highest values of the 16-bit images of a source, looked at together.

    One alone may be dark.
    """

    def __init__(self):
        self._highest = {}  # name -> value; `None` when there is nothing more to say

    def see(self, name: str, highest: int) -> None:
        """Puts an image down."""
        if self._highest is not None:
            self._highest[name] = highest

    def say(self) -> None:
        """Warns once, of those that were seen until then."""
        highest = max((self._highest or {}).values(), default=0)
        if highest:
            name = min(self._highest)
            self._highest = None
            warn_of_range(highest, name)
