"""Images -> representations, as float32 NumPy arrays, on any backend."""

import keras
import numpy as np

from keras_vicreg.data.batches import check_images
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
        images: array `(n, height, width, channels)` in 0..255, or a `tf.data.Dataset`
            of batches of images; labels that come along are ignored. With
            `encoder=None` an array of any shape `(n, ...)`, such as representations
            that are computed already.
        batch_size: int, how many images of an array to compute at once. Defaults to
            256.

    Returns:
        Array `(n, features)`, float32.

    Raises:
        ValueError: if `images` are none, or a representation is not finite.

    Example:

    >>> images = kv.load_images("sample", image_size=32)
    >>> kv.embed(kv.encoder("resnet18", (32, 32, 3)), images).shape
    (3068, 512)
    """
    if hasattr(images, "shape"):
        return _embed_array(encoder, np.asarray(images), batch_size)
    batches = ((_first(batch), 0) for batch in untuned(images))
    return _embed_batches(encoder, batches)[0]


def embed_labelled(encoder, data, *, name: str, batch_size: int = 256):
    """Computes the representations of labelled images.

    Args:
        encoder: as in `embed`.
        data: a pair `(images, labels)` of arrays, or a `tf.data.Dataset` of batches of
            such pairs.
        name: what `data` is called in an error.
        batch_size: as in `embed`.

    Returns:
        A pair of arrays: representations `(n, features)`, float32, and integer labels
        `(n,)`.
    """
    if isinstance(data, (tuple, list)) and len(data) == 2:
        images, labels = data
        features = embed(encoder, images, batch_size=batch_size)
    elif hasattr(data, "element_spec") and isinstance(data.element_spec, tuple):
        batches = (batch[:2] for batch in untuned(data))
        features, labels = _embed_batches(encoder, batches)
    else:
        raise ValueError(
            f"`{name}` must be a pair (images, labels) or a tf.data.Dataset of such "
            f"batches. Received: {type(data).__name__}"
        )
    return features, check_labels(labels, len(features), name)


def as_arrays(data, *, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and integer labels of labelled data, all of it in memory.

    Args:
        data: as in `embed_labelled`.
        name: what `data` is called in an error.

    Returns:
        A pair of arrays: images `(n, height, width, channels)`, labels `(n,)`.
    """
    if hasattr(data, "element_spec"):
        batches = [[np.asarray(part) for part in batch[:2]] for batch in untuned(data)]
        data = tuple(np.concatenate(part) for part in zip(*batches))
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ValueError(
            f"`{name}` must be a pair (images, labels) or a tf.data.Dataset of such "
            f"batches. Received: {type(data).__name__}"
        )
    images = np.asarray(data[0])
    check_images(images)
    return images, check_labels(data[1], len(images), name)


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


def predict(model, images, batch_size: int):
    """What a model gives for an array of images, in the type it gives it."""
    data = untuned_inputs(images, batch_size=batch_size)
    return model.predict(data, batch_size=batch_size, verbose=0)


def _embed_array(encoder, images, batch_size):
    if not len(images):
        raise ValueError("`images` must be at least one. Received: an empty array")
    if encoder is None:
        return _checked(images.reshape(len(images), -1))
    check_images(images)
    encoder = find_encoder(encoder)
    return _checked(predict(encoder, images, batch_size))


def _embed_batches(encoder, batches):
    """Representations and labels in one pass: a second might come in another order."""
    encoder = encoder and find_encoder(encoder)
    features, labels = [], []
    for images, label in batches:
        images = np.asarray(images)
        if encoder:
            # `predict_on_batch` would give each replica the whole batch.
            found = predict(encoder, images, len(images))
        else:
            found = images.reshape(len(images), -1)
        features.append(found)
        labels.append(np.ravel(label))
    if not features:
        raise ValueError("`images` must be at least one. Received: no batch")
    return _checked(np.concatenate(features)), np.concatenate(labels)


def _first(batch):
    return batch[0] if isinstance(batch, (tuple, list)) else batch


def _checked(features) -> np.ndarray:
    features = keras.ops.convert_to_numpy(features).astype("float32", copy=False)
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise ValueError(
            "Representations must be finite. Received: NaN or infinity in "
            f"{bad.sum()} of {len(features)}, the first at index {bad.argmax()}"
        )
    return features
