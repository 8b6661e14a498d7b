"""What models are given, arrays and datasets, looked at before it is used."""

import keras

from keras_vicreg.data.batches import EpochBatches
from keras_vicreg.data.image_checks import check_shape, check_views
from keras_vicreg.data.in_memory import as_array, as_views, in_memory, is_array
from keras_vicreg.data.untuned import untuned


def check_inputs(data, channels=None):
    """What a model is given, once it is known to be images of 0..255.

    Of a dataset the first batch is looked at.

    Args:
        data: images or a pair of views in memory, see `in_memory.as_views`; or a
            dataset, see `check_first_batch`.
        channels: as in `image_checks.check_images`.

    Returns:
        An array or a pair of arrays; or the dataset.

    Raises:
        ValueError: if they are none.
    """
    if isinstance(data, EpochBatches):  # which has looked at them itself
        return data
    if not in_memory(data):
        return check_first_batch(data, channels)
    views = as_views(data)
    check_views(views, channels)
    return views if len(views) > 1 else views[0]


def check_first_batch(data, channels=None):
    """The same data, once its first batch is known to be images of 0..255.

    Of uint8 the element spec of a `tf.data.Dataset` says all. Any other data are asked
    for their first batch; that of a generator is put back in front of the others.

    Args:
        data: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a `DataLoader`, a
            generator or another iterable of batches, as `check_batch` takes them.
        channels: as in `image_checks.check_images`.

    Returns:
        `data`, or a generator in the place of a generator.

    Raises:
        ValueError: as `check_batch`.
    """
    if hasattr(data, "element_spec") and _spec_is_enough(data.element_spec, channels):
        return data
    if isinstance(data, keras.utils.PyDataset):
        check_batch(data[0], channels)
    elif hasattr(data, "__iter__"):
        batches = iter(untuned(data))
        first = next(batches, None)
        if first is not None:
            check_batch(first, channels)
        if batches is data:
            return _again(first, batches)
    return data


def check_batch(batch, channels=None) -> None:
    """Raises unless a batch holds images of 0..255, or views of them.

    Args:
        batch: images `(batch, height, width, channels)`, a pair of them and labels,
            or `((a, b),)`.
        channels: as in `image_checks.check_images`.
    """
    views = images_of(batch)
    for view in views:
        if not is_array(view):
            raise ValueError(
                "Batches must hold images as arrays or tensors. "
                f"Received: a {type(view).__name__}"
            )
    check_views([*map(as_array, views)], channels)


def images_of(batch) -> tuple:
    """The images, or the two views, of a batch that may hold labels beside them."""
    x = batch[0] if isinstance(batch, (list, tuple)) and batch else batch
    if isinstance(x, dict):
        raise ValueError(
            "Batches must be images, (images, labels) or ((a, b),). "
            "`kv.load_images(data, labels=True, batch_size=256)` makes such of a "
            "dataset of dicts, `tfds.load` does with `as_supervised=True`. "
            f"Received: a dict of {', '.join(map(repr, x))}"
        )
    return tuple(x) if isinstance(x, (list, tuple)) else (x,)


def _again(first, others):
    if first is not None:
        yield first
    yield from others


def _spec_is_enough(spec, channels) -> bool:
    """Checks all that an element spec says; whether the pixels can be taken as good."""
    parts = images_of(spec)
    if not all(hasattr(part, "dtype") for part in parts):
        return True  # of a dataset that is dealt out to replicas already
    for part in parts:
        if hasattr(part, "ragged_rank"):
            raise ValueError(
                "The images of a batch must have one size: resize them before "
                f"`batch`. Received: batches of {part}"
            )
        if part is parts[0] and getattr(part.shape, "rank", None) is not None:
            check_shape(part.shape, channels)
    return all(part.dtype == "uint8" and part.shape.rank for part in parts)
