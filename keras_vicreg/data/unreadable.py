"""Images that cannot be read: named once, counted, and too many of them an error."""

import numbers
import threading
import warnings

# From more of them on, what is read cannot stand for the rest.
MOST = 0.5


class Unreadable:
    """The images of a source that could not be read.

    Args:
        count: int, number of images of the source, or infinity until it is known.
        most: float, 0 to 1, the share of them that may be unreadable. Defaults to a
            half.
        least: int, how many must be readable. Defaults to 1.

    Raises:
        ValueError: if `most` is no such share.
    """

    def __init__(self, count: int, most: float = MOST, least: int = 1):
        number = isinstance(most, numbers.Real) and not isinstance(most, bool)
        if not number or not 0 <= most <= 1:
            raise ValueError(
                "`max_unreadable` must be a share of the images, 0 to 1. "
                f"Received: max_unreadable={most!r}"
            )
        self.count, self.most, self.least = count, most, least
        self._reasons = {}  # name -> why
        self._said = 0
        self._lock = threading.Lock()  # images are decoded in threads

    def __contains__(self, name: str) -> bool:
        return name in self._reasons

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, name: str, error: Exception) -> None:
        """Puts an image down, of which it was this that went wrong."""
        self._reasons.setdefault(name, reason_of(error))

    def say(self) -> None:
        """Names those that were not named yet, in one warning."""
        with self._lock:
            known = list(self._reasons.items())
            new = known[self._said :]
            self._said = len(known)
        if new:
            images = "image" if len(known) == 1 else "image(s)"
            warnings.warn(
                f"Skipped {len(known)} unreadable {images}: {_named(new)}", stacklevel=3
            )

    def check(self) -> None:
        """Raises if they are too many, or too few are left."""
        bad = len(self)
        too_many = bad > (self.most and self.most * self.count)
        if bad and (too_many or self.count - bad < self.least):
            self._said = bad
            raise ValueError(
                f"At most {self.most:g} of the images may be unreadable "
                f"(`max_unreadable`), and at least {self.least:,} must be readable. "
                f"Received: {self.count:,} images, of which {bad:,} could not be read: "
                f"{_named(list(self._reasons.items()))}"
            )


def reason_of(error: Exception) -> str:
    """Why an image cannot be read, in one line."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):  # its own words name the object
        return "cannot identify the image format"
    return " ".join(str(error).split()) or type(error).__name__


def _named(unreadable: list[tuple[str, str]]) -> str:
    names = ", ".join(f"{name!r} ({reason})" for name, reason in unreadable[:5])
    more = len(unreadable) - 5
    return names + (f" and {more:,} more" if more > 0 else "")
