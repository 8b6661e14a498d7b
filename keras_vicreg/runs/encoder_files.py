"""How the encoder of a run is kept: as a preset, or else as Keras itself keeps it.

A preset names a network that this package knows, so that nobody who loads it need
trust it. An encoder around a backbone from elsewhere is known to Keras alone: it is
one file of Keras's own format, of which only what is made of layers is loaded unless
the file itself is named, and cannot be published as a preset.
"""

import hashlib
import os
from pathlib import Path

import keras

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.encoders import as_encoder, describe_encoder
from keras_vicreg.encoders.named_backbones import find_source, read_model
from keras_vicreg.encoders.stock_models import read_stock_model
from keras_vicreg.runs.folder import RunFolder


def is_described(encoder) -> bool:
    """Whether a preset can hold this encoder."""
    try:
        describe_encoder(encoder)
    except ValueError:
        return False
    return True


def save_encoder(model, folder: RunFolder, **card) -> Path:
    """Writes the encoder of a pretraining model into its run folder.

    Args:
        model: such as `kv.VICReg`.
        folder: of the run.
        **card: what the model card of a preset says, see `kv.save_to_preset`.

    Returns:
        Where to: `encoder`, a preset with encoder and expander, or `encoder.keras`.
    """
    if is_described(model.encoder):
        model.save_to_preset(folder.encoder, **card)
        return folder.encoder
    temporary = folder.path / ".part.keras"
    temporary.unlink(missing_ok=True)  # perhaps a link, in a stranger's folder
    try:
        model.encoder.save(temporary)
        os.replace(temporary, folder.encoder_file)
    finally:
        temporary.unlink(missing_ok=True)
    return folder.encoder_file


def load_encoder(handle: str) -> keras.Model:
    """The encoder of a preset, of a run folder or of a `.keras` file.

    A folder may come from anywhere: where it holds a preset, that is what counts, and
    else its `encoder.keras` must be made of Keras's own layers. Who names the file
    itself trusts its origin.

    Args:
        handle: as `kv.from_preset` takes it, or the path of a run folder or of a file.

    Raises:
        ValueError: if the file holds no encoder, or the folder one that is made of
            anything but layers.
        kv.PresetError: if there is no such preset.
    """
    path = Path(handle).expanduser()
    if path.suffix == ".keras" and not path.is_dir():
        return as_encoder(read_model(path))
    kept = path / "encoder.keras"
    if kept.is_file() and not zoo.names_preset(handle):
        return as_encoder(read_stock_model(kept))
    return kv.from_preset(handle)


def source_of(spec: str) -> dict:
    """For config.json: the file a backbone came from, and its hash."""
    file = find_source(spec)
    if file is None:
        return {}
    with open(file, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"encoder_source": {"file": str(file.resolve()), "sha256": digest}}
