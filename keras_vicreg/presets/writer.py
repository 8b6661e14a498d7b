"""From a model to a folder: what `save_to_preset` does, step by step."""

import dataclasses
import pathlib
import shutil
import warnings

import keras
import numpy as np

from keras_vicreg import __version__, encoders
from keras_vicreg.atomic_folder import current, entries, replacing
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import (
    head_layout,
    model_card,
    plain_keras,
    reader,
    tensor_file,
)
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets.errors import PresetError
from keras_vicreg.presets.manifest import Manifest

CARD = ("description", "license", "limits", "training", "dataset", "metrics", "curves")
OWN = {*manifests.FILES, manifests.NAME, model_card.NAME}


def write(
    model,
    folder: pathlib.Path,
    dtype: str = "float32",
    with_keras: bool = True,
    card: dict | None = None,
) -> None:
    """Writes the preset of `model`, in place of the one in `folder`."""
    card = card or {}
    _check_arguments(dtype, card)
    encoder = getattr(model, "encoder", model)
    name, options = _describe(encoder)
    check_replaceable(folder)
    with replacing(folder, OWN) as new:
        parts = _write_weights(new, encoder, getattr(model, "expander", None), dtype)
        if "curves" in card:
            shutil.copyfile(card["curves"], new / manifests.CURVES)
        manifest = Manifest(
            encoder={"name": name, "options": options},
            preprocessing=reader.preprocessing_of(encoder, options),
            versions={"keras_vicreg": __version__, "keras": keras.version()},
            files=_entries(new),
            **parts,
            **{key: value for key, value in card.items() if key != "curves"},
        )
        if with_keras:
            plain_keras.write(new, manifest)
            manifest = dataclasses.replace(manifest, files=_entries(new))
        (new / manifests.NAME).write_bytes(manifest.to_bytes())
        handle = f"hf://user/{folder.resolve().name}"
        readme = model_card.render(manifest, handle, model_card.read(current(folder)))
        (new / model_card.NAME).write_bytes(readme)


def _check_arguments(dtype: str, card: dict) -> None:
    if dtype not in tensor_file.DTYPES:
        raise ValueError(
            f"`dtype` must be one of {', '.join(tensor_file.DTYPES)}. "
            f"Received: dtype={dtype!r}"
        )
    unknown = sorted(set(card) - set(CARD))
    if unknown:
        raise ValueError(
            f"A model card must be made of {', '.join(CARD)}. "
            f"Received: {', '.join(unknown)}"
        )
    if "curves" in card and not pathlib.Path(card["curves"]).is_file():
        raise ValueError(
            "`curves` must be the path of a PNG file. "
            f"Received: curves={card['curves']!r}"
        )


def _describe(encoder) -> tuple[str, dict]:
    try:
        return encoders.describe_encoder(encoder)
    except ValueError as error:
        raise ValueError(
            f"{error}. Keep any other encoder with Keras's own `encoder.save(path)`."
        ) from None


def _write_weights(folder: pathlib.Path, encoder, expander, dtype: str) -> dict:
    """Writes the weights files and returns what the manifest says of them."""
    parts = {"weights": _write(folder, manifests.ENCODER_WEIGHTS, encoder, dtype)}
    if expander is None:
        return parts
    try:
        layers = head_layout.layout_of(expander)
    except ValueError as error:
        warnings.warn(f"The preset holds the encoder alone: {error}", stacklevel=5)
        return parts
    entry = _write(folder, manifests.EXPANDER_WEIGHTS, expander, dtype)
    return {**parts, "expander": {"layers": layers, **entry}}


def _entries(folder: pathlib.Path) -> dict:
    """What the manifest says of the files that are there so far."""
    there = [file for file in manifests.FILES if (folder / file).exists()]
    return {file: folders.file_entry(folder / file) for file in there}


def _values(model, dtype: str) -> dict:
    """Name in the weights file -> array of `dtype`."""
    values = {}
    for name, variable in reader.weight_names(model).items():
        value = keras.ops.convert_to_numpy(variable.value).astype("float32")
        with np.errstate(over="ignore"):  # it is looked for below
            values[name] = value.astype(tensor_file.numpy_dtype(dtype))
        if not np.isfinite(values[name]).all():
            raise ValueError(
                f"The weights must be finite in {dtype}. Received: NaN or infinity "
                f"in {name}"
            )
    return values


def _write(folder: pathlib.Path, file: str, model, dtype: str) -> dict:
    """Writes one weights file and returns what the manifest says of it."""
    tensor_file.write(folder / file, _values(model, dtype))
    return {"file": file, "dtype": dtype, "parameters": model.count_params()}


def check_replaceable(folder: pathlib.Path) -> None:
    """Refuses to take over a folder that is somebody else's."""
    there = current(folder)
    if there.exists() and not there.is_dir():
        raise PresetError(f"{folder} is a file: name a folder for the preset.")
    if there.is_dir() and entries(folder) and not (there / manifests.NAME).exists():
        raise PresetError(
            f"{folder} holds files and no preset: name an empty or a new folder."
        )
