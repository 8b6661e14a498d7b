"""The same encoder as Keras itself saves it, for those without this package."""

import json
import pathlib
import shutil

import keras

from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import reader
from keras_vicreg.presets.manifest import PLAIN_KERAS, Manifest


def write(folder: pathlib.Path, manifest: Manifest) -> None:
    """Adds config.json, metadata.json and model.weights.h5 to the folder.

    The encoder is the one that the preset in the folder gives, in float32, so that
    nothing of how it was trained, mixed precision or synchronized statistics, travels
    with it.

    Args:
        folder: with the weights of the preset.
        manifest: of the preset.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        encoder = reader.build(
            manifest, lambda name: folders.read_file(folder, manifest, name)
        )
    finally:
        keras.config.set_dtype_policy(policy)
    own = folder / "keras"
    encoder.save(own, zipped=False)
    for file in PLAIN_KERAS:
        (own / file).rename(folder / file)
    shutil.rmtree(own)
    _make_reproducible(folder)


def _make_reproducible(folder: pathlib.Path) -> None:
    """Takes out the time and the memory addresses that Keras writes.

    With them no two savings would be the same, and each upload a new commit.
    """
    (folder / "metadata.json").write_text(
        json.dumps({"keras_version": keras.version()})
    )
    numbers = {}

    def renumber(node: dict) -> dict:
        if "shared_object_id" in node:
            address = node["shared_object_id"]
            node["shared_object_id"] = numbers.setdefault(address, len(numbers))
        return node

    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(), object_hook=renumber)))
