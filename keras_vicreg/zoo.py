"""The way to presets by handle: a built-in name, a folder, or `hf://user/repo`.

Nothing else knows what a handle may be.
"""

import os
import pathlib

from keras_vicreg.atomic_folder import current
from keras_vicreg.presets import built_in, reader, writer
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets.built_in import HUB, find_folder
from keras_vicreg.presets.manifest import Manifest

# Presets too large for the package, which has their manifest and card alone:
# name -> "hf://user/repo@commit".
ON_HUB: dict[str, str] = {}


def list_presets() -> list[str]:
    """The names of the built-in presets, for `kv.from_preset`.

    Example:

    >>> encoder = kv.from_preset(kv.list_presets()[0])
    """
    return built_in.names()


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


def names_preset(handle: str) -> bool:
    """Whether a handle stands for a preset, valid or not, and not for something else.

    Args:
        handle: as in `from_preset`, or the path of a folder that holds none.
    """
    if handle.startswith(HUB) or handle in list_presets():
        return True
    folder = pathlib.Path(handle).expanduser()
    inside = folder / built_in.RUN
    manifest = current(folder) / manifests.NAME
    return current(inside).is_dir() or any(map(os.path.lexists, (inside, manifest)))


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
