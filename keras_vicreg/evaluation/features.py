"""Images -> representations, as float32 NumPy arrays, on any backend."""

import os

import keras
import numpy as np

from keras_vicreg.data.image_checks import check_images
from keras_vicreg.data.in_memory import as_array, as_images, in_memory
from keras_vicreg.data.inputs import images_of
from keras_vicreg.data.labels import check_labels
from keras_vicreg.data.untuned import untuned
from keras_vicreg.data.untuned_inputs import untuned_inputs


def embed(encoder, images, *, batch_size: int = 256) -> np.ndarray:
    """Computes the representations of images, without augmentation.

    Args:
        encoder: a Keras model that maps images to vectors or feature maps (these are
            pooled); or a joint-embedding model such as `kv.VICReg`, whose `encoder` is
            taken; or `None`: the pixels themselves, flattened, are the representation
            (the baseline that any encoder should beat).
        images: array or tensor `(n, height, width, channels)` in 0..255, a list of
            images of one size, or a `tf.data.Dataset` of batches of images, of which
            the first is looked at; labels that come along are ignored. With
            `encoder=None` an array of any shape `(n, ...)` and range, such as
            representations that are computed already.
        batch_size: int, how many images of an array to compute at once. Defaults to
            256.

    Returns:
        Array `(n, features)`, float32.

    Raises:
        ValueError: if `images` are none, not in 0..255 or not of the channels that
            the encoder takes, or a representation is not finite.

    Example:

    >>> images = kv.load_images("sample", image_size=32)
    >>> kv.embed(kv.encoder("resnet18", (32, 32, 3)), images).shape
    (3068, 512)
    """
    if images is None or isinstance(images, (tuple, str, os.PathLike, dict)):
        size = f" of {len(images)}" if isinstance(images, (tuple, dict)) else ""
        raise ValueError(
            "`images` must be an array or a list of images, or a dataset of batches; "
            "of a pair (images, labels) the images, of files what `kv.load_images` "
            f"makes of them. Received: a {type(images).__name__}{size}"
        )
    if in_memory(images):
        return _embed_array(encoder, as_images(images), batch_size)
    batches = ((_images(batch), 0) for batch in untuned(images))
    return _embed_batches(encoder, batches)[0]


def embed_labelled(encoder, data, *, name: str, batch_size: int = 256):
    """Computes the representations of labelled images.

    Args:
        encoder: as in `embed`.
        data: a pair `(images, labels)` of arrays, tensors or lists, or a
            `tf.data.Dataset` or another iterable of batches of such pairs.
        name: what `data` is called in an error.
        batch_size: as in `embed`.

    Returns:
        A pair of arrays: representations `(n, features)`, float32, and integer labels
        `(n,)`.
    """
    if isinstance(data, (tuple, list)) and len(data) == 2:
        images, labels = data
        features = embed(encoder, images, batch_size=batch_size)
    else:
        features, labels = _embed_batches(encoder, _labelled_batches(data, name))
    return features, check_labels(labels, len(features), name)


def as_arrays(data, *, name: str, channels=None) -> tuple[np.ndarray, np.ndarray]:
    """Images and integer labels of labelled data, all of it in memory.

    Args:
        data: as in `embed_labelled`.
        name: what `data` is called in an error.
        channels: int, how many the images must have. Defaults to `None`, any number.

    Returns:
        A pair of arrays: images `(n, height, width, channels)`, labels `(n,)`.
    """
    if isinstance(data, (tuple, list)) and len(data) == 2:
        images, labels = as_images(data[0]), data[1]
    else:
        parts = zip(*_labelled_batches(data, name))
        images, labels = [np.concatenate([*map(as_array, part)]) for part in parts]
    check_images(images, channels)
    return images, check_labels(labels, len(images), name)


def _labelled_batches(data, name):
    """Pairs of a batch of images and its labels."""
    batches = iter(untuned(data)) if hasattr(data, "__iter__") else iter([None])
    for batch in batches:
        images_of(batch)  # says how to take them out of a dict
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise ValueError(
                f"`{name}` must be a pair (images, labels) or a tf.data.Dataset of "
                f"such batches. Received: {type(data).__name__}"
            )
        yield batch[0], batch[1]


def number_classes(labels) -> tuple[np.ndarray, np.ndarray]:
    """The labels in use, ascending, and each image's place among them.

    Raises:
        ValueError: if there are fewer than two.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            "A classifier needs at least two classes. "
            f"Received: `train` with the labels {classes.tolist()}"
        )
    return classes, numbers


def find_encoder(model):
    """The encoder of a joint-embedding model, or the model itself, as an encoder."""
    from keras_vicreg.encoders.backbones import as_encoder

    return as_encoder(getattr(model, "encoder", model))


def channels_of(encoder) -> int | None:
    """How many channels the images of an encoder have, `None` for any number."""
    return encoder.inputs[0].shape[-1]


def predict(model, images, batch_size: int):
    """What a model gives for an array of images, in the type it gives it."""
    data = untuned_inputs(images, batch_size=batch_size)
    return model.predict(data, batch_size=batch_size, verbose=0)


def _embed_array(encoder, images, batch_size):
    if not len(images):
        raise ValueError("`images` must be at least one. Received: an empty array")
    if encoder is None:
        return _checked(images.reshape(len(images), -1))
    encoder = find_encoder(encoder)
    check_images(images, channels_of(encoder))
    return _checked(predict(encoder, images, batch_size))


def _embed_batches(encoder, batches):
    """Representations and labels in one pass: a second might come in another order."""
    encoder = encoder and find_encoder(encoder)
    features, labels = [], []
    for images, label in batches:
        images = as_array(images)
        if encoder:
            if not features:
                check_images(images, channels_of(encoder))
            # `predict_on_batch` would give each replica the whole batch.
            found = predict(encoder, images, len(images))
        else:
            _check_rows(images)
            found = images.reshape(len(images), -1)
        features.append(found)
        labels.append(np.ravel(as_array(label)))
    if not features:
        raise ValueError("`images` must be at least one. Received: no batch")
    return _checked(np.concatenate(features)), np.concatenate(labels)


def _check_rows(batch) -> None:
    """Raises for one image, or its representation, in place of a batch of them."""
    if batch.ndim < 2 or (batch.ndim == 3 and batch.shape[-1] in (1, 3, 4)):
        raise ValueError(
            "A dataset must yield batches of images or of their representations; "
            "single ones become batches by `dataset.batch(256)`. "
            f"Received: an array of shape {batch.shape}"
        )


def _images(batch):
    """The images of a batch; not one view of a pair."""
    found = images_of(batch)
    if len(found) != 1:
        raise ValueError(
            "`images` must be a dataset of batches of images, labelled or not. "
            f"Received: batches of {len(found)} views"
        )
    return found[0]


def _checked(features) -> np.ndarray:
    features = keras.ops.convert_to_numpy(features).astype("float32", copy=False)
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise ValueError(
            "Representations must be finite. Received: NaN or infinity in "
            f"{bad.sum()} of {len(features)}, the first at index {bad.argmax()}"
        )
    return features
