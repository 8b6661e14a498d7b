"""What a run was found to be worth, read from its folder and checked."""

import math

from keras_vicreg.evaluation.protocols import RESULTS, headline
from keras_vicreg.runs.folder import RunFolder
from keras_vicreg.terminal import printable

EVALUATION = "evaluation.json"


def read_results(folder: RunFolder, name: str = EVALUATION) -> dict:
    """Results of each encoder by protocol, as `keras-vicreg evaluate` writes them.

    Args:
        folder: of the run.
        name: of the file. Defaults to `"evaluation.json"`.

    Returns:
        A dict, empty where there is no such file.

    Raises:
        ValueError: if the file holds anything else.
    """
    results = folder.read_json(name) or {}
    try:
        for row in results.values():
            for protocol in row.keys() & set(RESULTS):
                headline(row[protocol])
                dict(row[protocol].get("settings", {}))
                if protocol != "quality":
                    accuracy(row[protocol])
    except (AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder.path / name} must hold results as `keras-vicreg evaluate` writes "
            f"them. Received: {type(error).__name__}: {printable(error)}"
        ) from error
    return results


def accuracy(found: dict) -> tuple[float, tuple[float, float]]:
    """The one share that a result with labels stands for, and its interval."""
    if "recall" in found:
        k = next(iter(found["recall"]))
        value, interval = found["recall"][k], found["recall_intervals"][k]
    else:
        name = "top1" if "top1" in found else "accuracy"
        value, interval = found[name], found[f"{name}_interval"]
    low, high = interval
    if not all(math.isfinite(number) for number in (value, low, high)):
        raise ValueError(f"an accuracy of {value}, from {low} to {high}")
    return value, (low, high)
