"""Every augmentation with parameters from NumPy: equal ones on every backend.

python tests/support/augmented_pixels.py FILE.npz
"""

import sys

import keras
import numpy as np

import keras_vicreg as kv
from keras_vicreg import augment

COUNT = 64


def cases(images):
    """Layers, images for each, and parameters, those of the published recipe."""
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
    operations = {
        "strength": rng.random((COUNT, 4), "float32"),
        "operation": rng.integers(0, 13, (COUNT, 4)).astype("int32"),
        "cut": np.tile(np.float32([3, 17, 40, 70]), (COUNT, 1)),
    }
    sigma = rng.uniform(0.1, 2.0, COUNT).astype("float32")
    layers = [
        (augment.RandomResizedCrop((32, 96)), box),
        (augment.RandomResizedCrop(24, interpolation="bilinear"), box),
        (augment.RandomHorizontalFlip(), some),
        (augment.ColorJitter(), {**some, **factors}),
        (augment.RandomGrayscale(), some),
        (augment.RandomGaussianBlur(), {"sigma": sigma}),
        (augment.RandomSolarize(), some),
        (augment.RandomOperations(), operations),
    ]
    # A photograph much larger than its view; wide enough for the blur's banded product;
    # narrower than its kernel.
    tiled = np.tile(images[:2], (1, 6, 8, 1))
    large = {"top": 5, "left": 11, "height": tiled.shape[1] - 9, "width": 170}
    large = {name: np.full(2, value, "float32") for name, value in large.items()}
    blur = augment.RandomGaussianBlur()
    return [
        *((layer, images, parameters) for layer, parameters in layers),
        (augment.RandomResizedCrop(24), tiled, large),
        (blur, np.tile(images[:8], (1, 2, 2, 1))[:, 3:], {"sigma": sigma[:8]}),
        (blur, images[:8, :1, :3], {"sigma": sigma[:8]}),
    ]


def pixels() -> dict:
    """The name of each case -> its images, float32 `(n, height, width, 3)`."""
    images = kv.load_images("sample", split="test")[:COUNT]
    results = {}
    for number, (layer, given, parameters) in enumerate(cases(images)):
        tensors = {k: keras.ops.convert_to_tensor(v) for k, v in parameters.items()}
        result = keras.ops.convert_to_numpy(layer.apply(given, tensors))
        results[f"{number} {type(layer).__name__}"] = result
    return results


if __name__ == "__main__":
    np.savez(sys.argv[1], **pixels())
