"""What the model card of a run says: what was measured, on what, and how."""

import dataclasses

from keras_vicreg.runs.folder import RunFolder
from keras_vicreg.runs.paths import without_folders
from keras_vicreg.runs.recipes import Recipe

NAMES = {"knn": "kNN top-1", "linear": "linear probe top-1"}


def card_of(recipe: Recipe, results: dict, folder: RunFolder) -> dict:
    """The card of a finished run, as keyword arguments of `kv.save_to_preset`.

    Args:
        recipe: the resolved recipe.
        results: of each encoder by protocol, as in evaluation.json; may be empty.
        folder: of the run.

    Returns:
        A dict with `training`, `dataset`, `metrics`, and `curves` where there are.
    """
    data = without_folders(recipe.data)
    start = recipe.start_from and without_folders(recipe.start_from)
    before = results.get("preset") or results.get("untrained")
    training = dataclasses.asdict(recipe)
    training |= {"data": data, "data_dir": None, "start_from": start}
    card = {
        "training": {k: v for k, v in training.items() if v is not None},
        "dataset": {"name": data},
        "metrics": [
            _metric(NAMES[protocol], found, before[protocol], data)
            for protocol, found in results.get("trained", {}).items()
        ],
    }
    if folder.curves.exists():
        card["curves"] = folder.curves
    return card


def _metric(name: str, found: dict, before: dict, data: str) -> dict:
    low, high = found["top1_interval"]
    return {
        "name": name,
        "type": "accuracy",
        "value": round(found["top1"], 4),
        "dataset": data,
        "split": found["settings"].get("split", "test"),
        "details": f"95 % interval {low:.4f} to {high:.4f}; before training "
        f"{before['top1']:.4f}",
    }
