"""Small presets for tests: 45,000 parameters, saved in tens of milliseconds."""

import keras
import numpy as np

import keras_vicreg as kv


def encoder(seed=0):
    """A ResNet-18 a sixteenth as wide, with the same numbers on every backend."""
    model = kv.encoder("resnet18", (32, 32, 3), stem="cifar", width=1 / 16)
    return fill(model, seed)


def vicreg(seed=0):
    model = kv.VICReg(encoder(seed), kv.expander((16, 24)))
    fill(model.expander, seed)
    return model


def fill(model, seed):
    """Gives every weight random values, none as they are at the start."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        positive = variable.name in ("gamma", "moving_variance")
        low, high = (0.5, 1.5) if positive else (-0.2, 0.2)
        variable.assign(random.uniform(low, high, variable.shape))
    return model


def images(samples=4, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (samples, 32, 32, 3))


def outputs(model):
    """What a model makes of `images`, as an array."""
    images_in = keras.ops.convert_to_tensor(images().astype("float32"))
    return keras.ops.convert_to_numpy(model(images_in, training=False))


CARD = {
    "description": "A toy, for tests.",
    "license": "cc0-1.0",
    "limits": "Random weights.",
    "training": {"method": "vicreg", "epochs": 3},
    "dataset": {"name": "CIFAR-10", "id": "uoft-cs/cifar10"},
    "metrics": [
        {
            "name": "kNN top-1",
            "value": 0.25,
            "dataset": "CIFAR-10",
            "dataset_id": "uoft-cs/cifar10",
            "split": "test",
            "details": "k=20",
        }
    ],
}
