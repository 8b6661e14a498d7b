"""What the callbacks that watch a run cost, as a share of the epoch.

    python training/benchmarks/online.py [EPOCHS]

The quickstart on the embedded sample: 3,068 images at 64 px, a ResNet-18 of a quarter
of the width, batches of 64. The first epoch, which compiles, is left out.
"""

import sys
import time

import keras
import numpy as np

import keras_vicreg as kv
from keras_vicreg.runs.pretraining import build_model
from keras_vicreg.runs.recipes import QUICKSTART, Recipe


def timed(callback, seconds: list):
    """Makes a callback note how long each of its epochs' ends takes."""
    measure = callback.on_epoch_end

    def on_epoch_end(epoch, logs=None):
        begin = time.perf_counter()
        measure(epoch, logs)
        seconds.append(time.perf_counter() - begin)

    callback.on_epoch_end = on_epoch_end
    return callback


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch's training, up to its end."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.begin)


def main(epochs: int = 5):
    train, validation = (
        kv.load_images("sample", 64, split=split, labels=True)
        for split in ("train", "validation")
    )
    recipe = Recipe(**QUICKSTART).resolved(64)
    model = build_model(recipe, steps_per_epoch=len(train[0]) // recipe.batch_size)
    clock, seconds = Clock(), {"OnlineKNN": [], "OnlineLinearProbe": [], "Quality": []}
    model.fit(
        train[0],
        batch_size=recipe.batch_size,
        epochs=epochs,
        callbacks=[
            clock,
            timed(kv.callbacks.OnlineKNN(train, validation), seconds["OnlineKNN"]),
            timed(
                kv.callbacks.OnlineLinearProbe(train, validation),
                seconds["OnlineLinearProbe"],
            ),
            timed(kv.callbacks.Quality(train[0]), seconds["Quality"]),
        ],
        verbose=2,
    )
    epoch = np.array(clock.seconds[1:])
    print(f"training alone: {np.median(epoch):.2f} s an epoch, median of {len(epoch)}")
    for name, each in seconds.items():
        share = np.median(each[1:] / epoch)
        print(f"{name:18}{np.median(each[1:]):6.3f} s = {share:.1%} of its epoch")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
