"""Going on from a preset: what the recipe leaves open is as the preset has it."""

import dataclasses

from keras_vicreg import zoo
from keras_vicreg.runs.recipes import Recipe


def with_network_of_preset(recipe: Recipe) -> Recipe:
    """The recipe with encoder, expander and image size of its preset filled in.

    Args:
        recipe: one with `start_from`, or without, which comes back as it is.

    Raises:
        ValueError: if the recipe asks for another encoder than the preset has.
        kv.PresetError: if the preset cannot be had.
    """
    if recipe.start_from is None:
        return recipe
    manifest, _ = zoo.find_manifest(recipe.start_from)
    options = manifest.encoder["options"]
    network = {
        "encoder": manifest.encoder["name"],
        "stem": options.get("stem"),
        "width": options.get("width", 1),
    }
    size = options["image_shape"][0]
    if size is not None:  # else it takes images of any size
        network["image_size"] = size
    default = Recipe()
    for name, value in network.items():
        asked = getattr(recipe, name)
        if asked not in (value, getattr(default, name)):
            raise ValueError(
                f"`{name}` must be left out with `start_from`, or be that of the "
                f"preset, {value!r}. Received: {name}={asked!r}, "
                f"start_from={recipe.start_from!r}"
            )
    if recipe.expander is None:
        network["expander"] = expander_widths(manifest)
    return dataclasses.replace(recipe, **network)


def build_from_preset(recipe: Recipe, method, **parts):
    """The model of a resolved recipe with `start_from`.

    It has the expander of the preset where the recipe asks for no other widths, else
    a new one.

    Args:
        recipe: the resolved recipe.
        method: class of the model.
        **parts: further arguments of the class.
    """
    import keras_vicreg as kv

    manifest, handle = zoo.find_manifest(recipe.start_from)
    if recipe.expander and recipe.expander == expander_widths(manifest):
        return method.from_preset(handle, **parts)
    return method(kv.from_preset(handle), recipe.expander, **parts)


def expander_widths(manifest) -> tuple[int, ...] | None:
    """Widths of the layers of a preset's expander, if it has one."""
    if manifest.expander is None:
        return None
    layers = manifest.expander["layers"]
    return tuple(layer["units"] for layer in layers if layer["layer"] == "dense")
