"""How long an epoch lasts beyond its last step, with and without tuning of `tf.data`.

    python training/benchmarks/epoch_end.py [--epochs 8] [--seconds 3]

A VICReg of ResNet-18, width 0.25, 32 px, on as many batches of 64 pairs of views as
take the given time on this machine. Epochs of `fit` take turns: one as the package
runs it, one with the batches as Keras alone would iterate over them.

On two cores of an Intel Xeon, in epochs of 3.2 s: 0.01 s after the last step of every
epoch; with tuning 0.01 s after four of eight and 1.9 to 2.1 s after the others, which
made all of them 1.29 times as long. `keras_vicreg.data.untuned` says where the time
goes.
"""

import argparse
import os
import statistics
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_vicreg as kv
from keras_vicreg.data.untuned_inputs import untuned_inputs
from keras_vicreg.methods import joint_embedding

BATCH = 64


class LastStep(keras.callbacks.Callback):
    """When the last step of an epoch was done."""

    def on_train_batch_end(self, batch, logs=None):
        self.time = time.perf_counter()


def epoch(model, views) -> tuple[float, float]:
    """Seconds to the end of the last step, and from there to the end of `fit`."""
    last, begin = LastStep(), time.perf_counter()
    model.fit(views, batch_size=BATCH, callbacks=[last], verbose=0)
    return last.time - begin, time.perf_counter() - last.time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()

    encoder = kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=0.25)
    model = kv.VICReg(encoder, kv.expander((512, 512)))
    model.compile("sgd")
    images = np.random.default_rng(0).integers(0, 256, (8 * BATCH, 32, 32, 3), "uint8")
    epoch(model, (images, images))  # traces
    repeats = max(1, round(options.seconds / epoch(model, (images, images))[0]))
    images = np.tile(images, (repeats, 1, 1, 1))

    inputs = {"tuned": lambda x, **_: x, "as it is": untuned_inputs}
    ends = {name: [] for name in inputs}
    for _ in range(options.epochs):
        for name, made in ends.items():
            joint_embedding.untuned_inputs = inputs[name]
            made.append(epoch(model, (images, images)))
    for name, made in ends.items():
        steps, after = zip(*made)
        print(
            f"{name:9} steps {statistics.median(steps):5.2f} s; after them "
            + " ".join(f"{seconds:.2f}" for seconds in after)
        )
    longer, shorter = (sum(map(sum, made)) for made in ends.values())
    print(f"together {longer:.1f} s and {shorter:.1f} s: {longer / shorter:.2f} times")


if __name__ == "__main__":
    main()
