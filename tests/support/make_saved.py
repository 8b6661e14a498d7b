"""Writes what `test_saved.py` loads: models, presets and runs of the past.

    python tests/support/make_saved.py FOLDER

Those in `tests/saved/` are of version 0.1.0, from before its files moved into rooms
(commit e1bbdb8): they are kept, not written again. The run was killed in its second
epoch; `whole.csv` is the history of the same run, not killed.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np

import keras_vicreg as kv

RUN = [
    *("--image-size", "16", "--width", "0.0625", "--expander", "16,16"),
    *("--epochs", "2", "--batch-size", "256", "--distribution", "none"),
]


def images() -> np.ndarray:
    """The images whose embeddings are kept, `(4, 32, 32, 3)` uint8."""
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype="uint8")


def make_model() -> kv.VICReg:
    """A VICReg after two steps, with its views, optimizer and schedule."""
    keras.utils.set_random_seed(0)
    encoder = kv.encoder("resnet18", (32, 32, 3), width=1 / 16, stem="cifar")
    views = kv.TwoViews(32, recipe="vicreg_cifar", seed=1)
    model = kv.VICReg(encoder, kv.expander((16, 16)), views=views)
    schedule = kv.warmup_cosine(0.1, total_steps=10, warmup_steps=2)
    model.compile(kv.LARS(schedule, weight_decay=1e-6))
    data = np.random.default_rng(1).integers(0, 256, (16, 32, 32, 3), dtype="uint8")
    model.fit(data, batch_size=8, verbose=0)
    return model


def make_run(folder, dies: bool) -> None:
    """`keras-vicreg pretrain` in a process of its own."""
    script = pathlib.Path(__file__).with_name("pretrain_process.py")
    environment = {**os.environ, **({"DIES_IN_EPOCH": "2"} if dies else {})}
    subprocess.run([sys.executable, script, *RUN, "--run-dir", folder], env=environment)


def main(folder) -> None:
    """Writes all of them."""
    model = make_model()
    model.save(folder / "model.keras")
    model.save_to_preset(folder / "preset", plain_keras=False)
    np.save(folder / "embeddings.npy", model.predict(images(), verbose=0))
    np.save(folder / "representations.npy", model.encoder.predict(images(), verbose=0))
    make_run(folder / "run", dies=True)
    make_run(folder / "whole", dies=False)
    os.replace(folder / "whole" / "history.csv", folder / "whole.csv")
    shutil.rmtree(folder / "whole")


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True)
    main(target)
