"""Feature maps, as detectors and segmenters use them: what is where in a picture?

    python training/feature_maps.py [PRESET] [--mosaics 600]

A segmentation task without masks by hand: mosaics of 3 x 3 photographs of the sample,
in which every position of the map belongs to the class of the photograph it lies in.
The encoder is frozen; a convolution of 1 x 1 reads two of its feature maps, one scaled
to the size of the other. Pretrained weights are compared with random ones.
"""

import argparse

import keras
import numpy as np

import keras_vicreg as kv

TILES, SIDE, STRIDE = 3, 64, 16  # px; `layer3` has a position every 16 px


def mosaics(split: str, count: int):
    """Images `(count, 192, 192, 3)`, and the class of every position of the map."""
    images, labels = kv.load_images("sample", SIDE, split, labels=True)
    chosen = np.random.default_rng(0).integers(len(images), size=(count, TILES, TILES))
    whole = images[chosen].swapaxes(2, 3).reshape(count, TILES * SIDE, TILES * SIDE, 3)
    return whole, labels[chosen].repeat(SIDE // STRIDE, 1).repeat(SIDE // STRIDE, 2)


def feature_extractor(encoder):
    """The encoder for images of any size, giving `layer3` and, above it, `layer4`."""
    images = keras.Input((None, None, 3))
    copy = keras.models.clone_model(encoder, input_tensors=images)
    copy.set_weights(encoder.get_weights())
    fine, coarse = copy.get_layer("layer3").output, copy.get_layer("layer4").output
    coarse = keras.layers.UpSampling2D(2, interpolation="bilinear")(coarse)
    return keras.Model(images, keras.layers.Concatenate()([fine, coarse]))


def segmentation_accuracy(encoder, train, test, classes: int, epochs: int = 30):
    """The share of positions told right, of every test mosaic."""
    keras.utils.set_random_seed(0)
    extract = feature_extractor(encoder)
    maps = [extract.predict(images, 64, verbose=0) for images, _ in (train, test)]
    head = keras.Sequential(
        [keras.layers.BatchNormalization(), keras.layers.Conv2D(classes, 1)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(keras.optimizers.Adam(3e-3), loss)
    head.fit(maps[0], train[1], batch_size=32, epochs=epochs, verbose=0)
    found = head.predict(maps[1], 64, verbose=0).argmax(axis=-1)
    return (found == test[1]).mean(axis=(1, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", default="vicreg_resnet18_sample")
    parser.add_argument("--mosaics", type=int, default=600)
    options = parser.parse_args()
    encoder = kv.from_preset(options.preset)
    train, test = (mosaics(split, options.mosaics) for split in ("train", "test"))
    classes = kv.class_names("sample")
    commonest = np.bincount(test[1].ravel()).max() / test[1].size
    print(f"Always the commonest class: {commonest:.1%} of the positions")
    keras.utils.set_random_seed(0)
    copy = keras.models.clone_model(encoder)  # other, random weights
    for name, model in (("random weights", copy), (options.preset, encoder)):
        right = segmentation_accuracy(model, train, test, len(classes))
        error = 1.96 * right.std() / len(right) ** 0.5
        print(f"{name}: {right.mean():.1%} +- {error:.1%} of the positions")


if __name__ == "__main__":
    main()
