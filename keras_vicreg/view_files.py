"""Folders of photographs much larger than the views: views straight from the files."""

import importlib.util
import os
import statistics
from pathlib import Path

from keras_vicreg.image_sources import open_folder

# In multiples of the views' size. Images that were first made as small as the views
# would lack the detail that small crops show.
LARGE = 1.5

# So many files, spread over the folder, are looked at.
LOOKED_AT = 32


def large_photographs(source, image_size: int, split: str = "train") -> list[str]:
    """The files of a folder, where its images are much larger than the views.

    Args:
        source: as in `kv.load_images`.
        image_size: int, height and width of the views in pixels.
        split: as in `kv.load_images`. Defaults to `"train"`.

    Returns:
        List of file names: that of every image of the split, or none where the source
        is no folder, its images are not so large, or TensorFlow is missing.
    """
    if not isinstance(source, (str, os.PathLike)):
        return []
    folder = Path(source).expanduser()
    if not folder.is_dir() or not importlib.util.find_spec("tensorflow"):
        return []
    paths = [path for _, path, _ in open_folder(folder, split).records(None)]
    sides = [_shorter_side(path) for path in paths[:: -(-len(paths) // LOOKED_AT)]]
    large = statistics.median(sides) >= LARGE * image_size
    return paths if large else []


def _shorter_side(path: str) -> int:
    """In pixels, from the head of the file; 0 where that cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return min(image.size)
    except Exception:  # decoders meet damaged bytes with errors of any kind
        return 0


def batches_of_views(paths, views, batch_size: int, seed: int = 0):
    """Complete batches of views of image files, for `fit` of a model with `views=None`.

    Every epoch has an order of its own and equally many batches; unreadable files are
    made up for by the next ones of a further order.

    Args:
        paths: list of file names.
        views: a `kv.TwoViews`.
        batch_size: int, at most the number of files.
        seed: int, seed of the orders. Defaults to `0`.

    Returns:
        A `tf.data.Dataset` of `((a, b),)`, float32 `(batch_size, height, width, 3)`.

    Raises:
        ValueError: if the files are fewer than a batch.

    Example:

    >>> views = kv.TwoViews(224, seed=0)
    >>> batches = batches_of_views(large_photographs("photographs/", 224), views, 256)
    >>> model.fit(batches, epochs=100)
    """
    import tensorflow as tf

    steps = len(paths) // batch_size
    if not steps:
        raise ValueError(
            "`batch_size` must be at most the number of images. "
            f"Received: batch_size={batch_size!r}, {len(paths)} images"
        )
    order = tf.data.Dataset.from_tensor_slices(list(paths))
    order = order.shuffle(len(paths), seed=seed).repeat()
    pairs = views.from_files(order).batch(batch_size, drop_remainder=True).take(steps)
    pairs = pairs.map(lambda *views: (views,))
    return pairs.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)
