"""Writes weights/README.md from the manifests of the built-in presets.

    python training/weights_table.py

A test compares the two.
"""

import pathlib

from keras_vicreg import zoo
from keras_vicreg.presets import built_in
from keras_vicreg.presets import folder as folders

README = pathlib.Path(__file__).parents[1] / "weights" / "README.md"
HEAD = """\
# Built-in presets

`kv.from_preset(NAME)` loads an encoder, `keras-vicreg info NAME` says all about it.
This page is written by `training/weights_table.py` from the manifests beside it.

| name | encoder | images | parameters | data | results | licence | weights |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def render() -> str:
    """The page."""
    return HEAD + "".join(f"| {' | '.join(_row(n))} |\n" for n in zoo.list_presets())


def _row(name: str) -> list[str]:
    manifest = folders.read_manifest(built_in.find_folder(name))
    height, width, channels = manifest.preprocessing["image_shape"]
    results = (f"{m['name']}, {m['dataset']}: {m['value']}" for m in manifest.metrics)
    size = manifest.files[manifest.weights["file"]]["size"] / 1e6
    where = f"[Hub]({zoo.ON_HUB[name]})" if name in zoo.ON_HUB else "here"
    return [
        f"[{name}]({name})",
        manifest.encoder["name"],
        f"{height or 'any'} x {width or 'any'} x {channels}",
        f"{manifest.weights['parameters']:,}",
        str(manifest.dataset.get("name", "")),
        "; ".join(results),
        manifest.license,
        f"{where}, {size:.1f} MB {manifest.weights['dtype']}",
    ]


if __name__ == "__main__":
    README.write_text(render())
