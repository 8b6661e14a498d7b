"""Presets: an encoder in a folder, with all that is needed to use it.

The way in is `writer`, the way back `folder` and `reader`; what decides is the
`manifest`.
"""

import pathlib

from keras_vicreg.atomic_folder import current
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets import reader, writer
from keras_vicreg.presets.errors import PresetError, PresetNotFoundError
from keras_vicreg.presets.manifest import Manifest

__all__ = ["PresetError", "from_preset", "list_presets", "save_to_preset"]

HUB = "hf://"
# Presets too large for the package, which has their manifest and card alone:
# name -> "hf://user/repo@commit".
ON_HUB: dict[str, str] = {}
RUN = "encoder"  # the preset inside the folder of a run


def list_presets() -> list[str]:
    """The names of the built-in presets, for `kv.from_preset`.

    Example:

    >>> encoder = kv.from_preset(kv.list_presets()[0])
    """
    found = _weights_folder().glob(f"*/{manifests.NAME}")
    return sorted(path.parent.name for path in found)


def from_preset(handle, revision: str | None = None, *, model_class=None, **options):
    """Loads a ready encoder, or the pretraining model around it.

    Args:
        handle: where the preset is: one of `kv.list_presets()`, `"hf://user/repo"`,
            `"hf://user/repo@revision"`, or a folder.
        revision: branch, tag or commit of a repository on the Hub. Defaults to its
            main branch.
        model_class: `None` for the encoder, or the class of the pretraining model
            to build from the encoder and the expander; `kv.VICReg.from_preset`
            passes its own.
        **options: further arguments of `model_class`.

    Returns:
        A `keras.Model`. An encoder maps images `(batch, height, width, channels)` in
        0..255 to representations `(batch, features)`. Its variables are float32.

    Raises:
        kv.PresetError: if the preset cannot be had, or is damaged or unacceptable.
            Nothing is loaded then.

    Example:

    ```python
    encoder = kv.from_preset("hf://user/resnet18-cifar10")
    representations = encoder.predict(images)
    ```
    """
    if options and model_class is None:
        raise TypeError(
            "An encoder takes no options: they stand in its preset. "
            f"Received: {', '.join(options)}"
        )
    handle = str(handle)
    handle = ON_HUB.get(handle, handle)
    if handle.startswith(HUB):
        from keras_vicreg import hub

        return hub.load(handle, revision, model_class, options)
    if revision is not None:
        raise ValueError(
            f"`revision` must be None unless `handle` starts with {HUB}. "
            f"Received: revision={revision!r}, handle={handle!r}"
        )

    def load(folder):
        with folders.opened(folder) as (manifest, read):
            return reader.build(manifest, read, model_class, options)

    return folders.steadily(find_folder(handle), load)


def find_manifest(
    handle: str,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> tuple[Manifest, str]:
    """The manifest of any preset, without its weights, and where it is.

    Args:
        handle: as in `from_preset`.
        revision: as in `from_preset`.
        token: of the Hub.
        endpoint: address of the Hub.

    Returns:
        The manifest; and the handle of the commit, or the path of the folder.
    """
    if handle.startswith(HUB):
        from keras_vicreg import hub

        return hub.find_manifest(handle, revision, token, endpoint)
    folder = find_folder(handle)
    return folders.steadily(folder, folders.read_manifest), str(folder)


def find_folder(handle: str) -> pathlib.Path:
    """The folder of a built-in preset, of a run, or of any other preset."""
    if handle in list_presets():
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
        f"{', '.join(list_presets()) or 'none'}; others are a folder or "
        f"{HUB}user/repo."
    )


def _weights_folder() -> pathlib.Path:
    """The built-in presets, in the installed package or in the source tree."""
    package = pathlib.Path(__file__).parents[1]
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def save_to_preset(
    model, folder, *, dtype: str = "float32", plain_keras: bool = True, **card
) -> None:
    """Writes an encoder, or a pretraining model, as a preset.

    The folder appears or changes whole or not at all. Files in it that are not of the
    preset stay, and so does the text of a README.md.

    Args:
        model: an encoder made with `kv.encoder`, or a model such as `kv.VICReg` with
            one, whose expander is then kept as well.
        folder: where to; it must not exist, be empty, or hold a preset, which is
            replaced.
        dtype: `"float32"`, `"float16"` or `"bfloat16"`, of the weights in the file.
            Defaults to `"float32"`.
        plain_keras: whether to add the encoder in Keras's own format, in float32,
            for those who load it without this package. Defaults to `True`.
        **card: what the model card says: `description`, `license` (an SPDX
            identifier), `limits` as text; `training` and `dataset` as dicts;
            `metrics` as a list of dicts with `name`, `value`, `dataset` and perhaps
            `type`, `split`, `dataset_id`, `details`; `curves`, the path of a PNG.

    Raises:
        ValueError: if the model cannot be described by a preset, or an argument is
            malformed.
        kv.PresetError: if the folder holds anything but a preset.

    Example:

    ```python
    model.save_to_preset("resnet18-photos", license="cc0-1.0")
    encoder = kv.from_preset("resnet18-photos")
    ```
    """
    writer.write(model, pathlib.Path(folder), dtype, plain_keras, card)
