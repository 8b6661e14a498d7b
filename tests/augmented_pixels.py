"""Every augmentation with parameters from NumPy: equal ones on every backend.

python tests/augmented_pixels.py FILE.npz
"""

import sys

import keras
import numpy as np

import keras_vicreg as kv
from keras_vicreg import augment

COUNT = 64


def cases():
    """Pairs of a layer and its parameters, which are those of the published recipe."""
    rng = np.random.default_rng(0)
    height, width = rng.integers(8, 65, (2, COUNT))
    top, left = rng.integers(0, 65 - height), rng.integers(0, 65 - width)
    box = {"top": top, "left": left, "height": height, "width": width}
    box = {name: values.astype("float32") for name, values in box.items()}
    some = {"apply": rng.random(COUNT) < 0.5}
    factors = {
        "brightness": rng.uniform(0.6, 1.4, COUNT).astype("float32"),
        "contrast": rng.uniform(0.6, 1.4, COUNT).astype("float32"),
        "saturation": rng.uniform(0.8, 1.2, COUNT).astype("float32"),
        "hue": rng.uniform(-0.1, 0.1, COUNT).astype("float32"),
        "order": np.argsort(rng.random((COUNT, 4)), axis=1).astype("int32"),
    }
    sigma = rng.uniform(0.1, 2.0, COUNT).astype("float32")
    return [
        (augment.RandomResizedCrop((32, 96)), box),
        (augment.RandomResizedCrop(24, interpolation="bilinear"), box),
        (augment.RandomHorizontalFlip(), some),
        (augment.ColorJitter(), {**some, **factors}),
        (augment.RandomGrayscale(), some),
        (augment.RandomGaussianBlur(), {"sigma": sigma}),
        (augment.RandomSolarize(), some),
    ]


def pixels() -> dict:
    """The name of each case -> its images, float32 `(COUNT, height, width, 3)`."""
    images = kv.load_images("sample", split="test")[:COUNT]
    results = {}
    for number, (layer, parameters) in enumerate(cases()):
        tensors = {k: keras.ops.convert_to_tensor(v) for k, v in parameters.items()}
        images_now = keras.ops.convert_to_numpy(layer.apply(images, tensors))
        results[f"{number} {type(layer).__name__}"] = images_now
    return results


if __name__ == "__main__":
    np.savez(sys.argv[1], **pixels())
