"""Images that cannot be read: named once, counted, and too many of them an error."""

import warnings

# From more of them on, what is read cannot stand for the rest.
MOST = 0.5


class Unreadable:
    """The images of a source that could not be read.

    Args:
        count: int, number of images of the source.
        most: float, 0 to 1, the share of them that may be unreadable. Defaults to a
            half.

    Raises:
        ValueError: if `most` is no such share.
    """

    def __init__(self, count: int, most: float = MOST):
        if isinstance(most, bool) or not 0 <= most <= 1:
            raise ValueError(
                "`max_unreadable` must be a share of the images, 0 to 1. "
                f"Received: max_unreadable={most!r}"
            )
        self.count, self.most = count, most
        self._reasons = {}  # name -> why
        self._said = 0

    def __contains__(self, name: str) -> bool:
        return name in self._reasons

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, name: str, error: Exception) -> None:
        """Puts an image down, of which it was this that went wrong."""
        self._reasons.setdefault(name, reason_of(error))

    def say(self) -> None:
        """Names those that were not named yet, in one warning."""
        new = list(self._reasons.items())[self._said :]
        if new:
            self._said += len(new)
            images = "image" if len(self) == 1 else "image(s)"
            warnings.warn(
                f"Skipped {len(self)} unreadable {images}: {_named(new)}", stacklevel=3
            )

    def check(self) -> None:
        """Raises if they are too many, or all."""
        if len(self) > self.most * self.count or 0 < self.count <= len(self):
            raise ValueError(
                f"At most {self.most:g} of the images may be unreadable, as "
                "`max_unreadable` says, and one must be readable. Received: "
                f"{self.count:,} images, of which {len(self):,} could not be read: "
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
