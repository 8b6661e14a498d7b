"""The folder of one pretraining run, and what is written into it.

config.json     the recipe, the versions, the data: all that repeats the run
history.csv     one row an epoch
checkpoint/     the training state after the last epoch
encoder/        the trained encoder, a preset; a backbone from elsewhere: encoder.keras
evaluation.json what it was worth, beside the encoder before training and raw pixels
curves.png      loss, terms, embedding std and kNN over the epochs
"""

import csv
import json
import os
import time
from pathlib import Path

import keras

from keras_vicreg.devices import replicas

MAX_JSON = 1 << 26  # bytes; the folder may be a stranger's


class RunFolder:
    """Paths of a run, and files that are written whole or not at all.

    Of several processes, all read and the chief alone writes.

    Args:
        path: the folder, made when the first file is written into it. Several
            processes share it.

    Raises:
        ValueError: if `path` is a file.
    """

    def __init__(self, path):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"`run_dir` must be a folder. Received: {path} (a file)")
        self.checkpoint = self.path / "checkpoint"
        self.encoder = self.path / "encoder"
        self.encoder_file = self.path / "encoder.keras"
        self.curves = self.path / "curves.png"
        self.history = self.path / "history.csv"

    def read_json(self, name: str) -> dict | None:
        """The object in a JSON file of the run, `None` where there is none."""
        file = self.path / name
        if not file.exists():
            return None
        try:
            if not file.is_file() or file.stat().st_size > MAX_JSON:
                raise ValueError(f"no file, or one of more than {MAX_JSON} bytes")
            content = json.loads(file.read_text())
            if not isinstance(content, dict):
                raise ValueError(f"no object, but {type(content).__name__}")
            return content
        except (RecursionError, ValueError) as error:
            raise ValueError(
                f"{file} must hold a JSON object. Received: {error}"
            ) from error

    def write_json(self, name: str, content: dict) -> None:
        """Writes a JSON file, in place of an older one."""
        if replicas.is_chief():
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.path / name, json.dumps(content, indent=2) + "\n")

    def read_history(self) -> list[dict]:
        """Rows of history.csv, numbers as floats, cells left empty as `None`."""
        if not self.history.exists():
            return []
        with open(self.history, newline="") as file:
            return [
                {name: float(cell) if cell else None for name, cell in row.items()}
                for row in csv.DictReader(file)
            ]


class HistoryFile(keras.callbacks.Callback):
    """Keeps history.csv: all logs of each epoch, with its number and seconds.

    Args:
        folder: the `RunFolder`. Its rows up to the first epoch of this `fit` stay.
    """

    def __init__(self, folder: RunFolder):
        super().__init__()
        self.folder = folder

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if not replicas.is_chief():
            return
        rows = [row for row in self.folder.read_history() if row["epoch"] <= epoch]
        seconds = round(time.perf_counter() - self._begin, 2)
        rows.append({"epoch": epoch + 1, "seconds": seconds, **(logs or {})})
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = [",".join(names)]
        for row in rows:
            cells = (row.get(name) for name in names)
            lines.append(",".join("" if c is None else f"{c:.6g}" for c in cells))
        write_text(self.folder.history, "\n".join(lines) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file under another name, and renames it."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.unlink(missing_ok=True)  # perhaps a link, in a stranger's folder
        with open(temporary, "x") as file:
            file.write(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
