"""The presets in the package, and where any preset of this machine lies."""

import pathlib

from keras_vicreg.atomic_folder import current
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets.errors import PresetNotFoundError

HUB = "hf://"  # what handles of the Hub begin with
RUN = "encoder"  # the preset inside the folder of a run


def names() -> list[str]:
    """The names of the built-in presets."""
    found = _weights_folder().glob(f"*/{manifests.NAME}")
    return sorted(path.parent.name for path in found)


def find_folder(handle: str) -> pathlib.Path:
    """The folder of a built-in preset, of a run, or of any other preset."""
    if handle in names():
        return _weights_folder() / handle
    folder = pathlib.Path(handle).expanduser().resolve()
    if not (folder / manifests.NAME).exists() and (folder / RUN).is_dir():
        folder = folder / RUN
    if any(current(folder).is_dir() for _ in range(folders.TRIES)):
        return folder
    if "/" in handle or "\\" in handle:
        hint = f"; for a repository on the Hub write {HUB}{handle}"
        hint = hint if handle.count("/") == 1 and handle[0].isalnum() else ""
        raise PresetNotFoundError(f"There is no folder {handle}{hint}.")
    raise PresetNotFoundError(
        f"There is no preset {handle!r}. Built in are: "
        f"{', '.join(names()) or 'none'}; others are a folder or "
        f"{HUB}user/repo."
    )


def _weights_folder() -> pathlib.Path:
    """The built-in presets, in the installed package or in the source tree."""
    package = pathlib.Path(__file__).parents[1]
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"
