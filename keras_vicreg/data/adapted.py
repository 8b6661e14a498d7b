"""A `tf.data.Dataset` of somebody else's with the size, labels and batches wanted."""

from operator import itemgetter

from keras_vicreg.data.arrays import CHANNELS, check_separate
from keras_vicreg.data.image_checks import check_shape
from keras_vicreg.data.rgb import as_rgb, resized
from keras_vicreg.data.streams import import_tensorflow
from keras_vicreg.data.untuned import untuned

# Of a dataset of single images so many are looked at: one alone may be dark.
LOOKED_AT = 16


def adapt(dataset, image_size, *, labels: bool, train: bool, batch_size: int | None):
    """Gives an existing `tf.data.Dataset` the size, the labels and the batches.

    Its order stays. Elements may be images or batches of images, alone, with labels or
    in a dict with them. The pixels are those that an array of the images would give.
    """
    spec = dataset.element_spec
    image_of, label_of = _parts(spec)
    if labels and label_of is None:
        raise ValueError(
            "`labels=True` needs a tf.data.Dataset of pairs (images, labels). "
            f"Received: elements of {spec}"
        )
    images = dataset.map(image_of)
    rank = getattr(getattr(images.element_spec, "shape", None), "rank", None)
    if rank not in (3, 4):
        raise ValueError(
            "A tf.data.Dataset must give images (height, width, channels) or batches "
            f"of them, alone or with labels. Received: elements of {spec}"
        )
    _check_first(images, rank)

    def select(*element):
        found = _as_rgb(image_of(*element), image_size)
        return (found, label_of(*element)) if labels else found

    dataset = dataset.map(select, num_parallel_calls=import_tensorflow().data.AUTOTUNE)
    if batch_size is not None:
        group = dataset.batch if rank == 3 else dataset.rebatch
        dataset = group(batch_size, drop_remainder=train)
    return untuned(dataset.prefetch(2))


def _parts(spec) -> tuple:
    """Functions that take the images and the labels, or `None`, out of an element."""
    if not isinstance(spec, dict):
        paired = isinstance(spec, tuple) and len(spec) > 1
        return _first, _second if paired else None
    ranks = {key: getattr(part.shape, "rank", None) for key, part in spec.items()}
    images = [key for key, rank in ranks.items() if rank in (3, 4)]
    if len(images) != 1:
        raise ValueError(
            "A tf.data.Dataset of dicts must have images (height, width, channels), or "
            f"batches of them, under one key. Received: elements of {spec}"
        )
    label = next((key for key in ("label", "labels") if key in spec), None)
    return itemgetter(*images), itemgetter(label) if label else None


def _first(x, *_):
    return x


def _second(_, y, *__):
    return y


def _check_first(images, rank: int) -> None:
    """Raises unless the first images of a dataset are of 0..255; of uint8 all are."""
    shape = tuple(images.element_spec.shape)
    check_shape((None, *shape)[-4:], CHANNELS)
    if images.element_spec.dtype == "uint8" and shape[-1] is not None:
        return
    first = untuned(images.take(1 if rank == 4 else LOOKED_AT)).as_numpy_iterator()
    pixels = [image for each in first for image in (each if rank == 4 else [each])]
    if pixels:
        check_separate(pixels)


def _as_rgb(images, image_size):
    """uint8 RGB of the given size, by the functions that arrays go through."""
    shape = (*images.shape[:-3], *(image_size or images.shape[-3:-1]), 3)
    if images.dtype == "uint8" and images.shape[-3:] == shape[-3:]:
        return images
    tensorflow = import_tensorflow()

    def convert(pixels):
        batch = pixels.reshape(-1, *pixels.shape[-3:])
        batch = resized(as_rgb(batch), image_size)
        return batch.reshape(*pixels.shape[:-3], *batch.shape[1:])

    found = tensorflow.numpy_function(convert, [images], "uint8", stateful=False)
    return tensorflow.ensure_shape(found, shape)
