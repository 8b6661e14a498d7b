"""Images as a `tf.data.Dataset`, streamed from files while a model trains."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from keras_vicreg.data.untuned import untuned

Chunks = Callable[[tuple | None], Iterator[list[tuple[np.ndarray, int]]]]


def stream(
    chunks: Chunks,
    count: int,
    shape: tuple[int, int, int],
    *,
    labels: bool,
    train: bool,
    batch_size: int,
    seed: int,
):
    """Makes batches while the model trains; see `keras_vicreg.load_images`.

    Args:
        chunks: function of a seed, or `None` for the natural order, that iterates over
            lists of at most `batch_size` pairs `(image, label)`; shorter ones where
            images could not be read.
        count: int, number of images, readable or not.
        shape: `(height, width, 3)` of every image.
        labels: whether batches are pairs of images and labels.
        train: whether to shuffle, and to give complete batches only.
        batch_size: int.
        seed: int, seed of the orders; that of an epoch depends on its number too.

    Returns:
        `tf.data.Dataset`.
    """
    tensorflow = import_tensorflow()
    most = count if train else float("inf")
    if type(batch_size) is not int or not 1 <= batch_size <= most:
        raise ValueError(
            "`batch_size` must be a positive integer, for training at most the number "
            f"of images. Received: batch_size={batch_size!r} for {count} images"
        )
    epochs = itertools.count()
    steps = count // batch_size

    def batches():
        if train:
            pairs = _train_epoch(chunks, steps, batch_size, (seed, next(epochs)))
        else:
            pairs = in_order(chunks, batch_size)
        for batch in pairs:
            images = np.stack([image for image, _ in batch])
            yield (images, [label for _, label in batch]) if labels else images

    size = batch_size if train else None
    signature = tensorflow.TensorSpec((size, *shape), "uint8")
    if labels:
        signature = signature, tensorflow.TensorSpec((size,), "int64")
    dataset = tensorflow.data.Dataset.from_generator(
        batches, output_signature=signature
    )
    if train:
        dataset = dataset.apply(tensorflow.data.experimental.assert_cardinality(steps))
    return untuned(dataset.prefetch(2))


def _train_epoch(chunks, steps, batch_size, seed):
    """`steps` complete batches; where unreadable files leave a gap, a second order
    fills it, so that every epoch has the same number of steps."""
    pending = []
    for order in itertools.count():
        for chunk in chunks((*seed, order)):
            pending += chunk
            if len(pending) >= batch_size:
                yield pending[:batch_size]
                pending = pending[batch_size:]
                steps -= 1
                if not steps:
                    return


def in_order(chunks: Chunks, batch_size: int) -> Iterator[list]:
    """Lists of `batch_size` pairs, the last one shorter, in the natural order."""
    pairs = itertools.chain.from_iterable(chunks(None))
    while batch := list(itertools.islice(pairs, batch_size)):
        yield batch


def import_tensorflow():
    """TensorFlow, or a `ValueError` that says what needs it."""
    try:
        import tensorflow
    except ImportError:
        raise ValueError(
            "`batch_size` needs TensorFlow, whose tf.data makes the batches: pip "
            "install tensorflow, or load the images as an array, without `batch_size`"
        ) from None
    return tensorflow
