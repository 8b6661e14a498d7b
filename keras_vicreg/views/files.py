"""Folders of photographs much larger than the views: views straight from the files."""

import contextlib
import importlib.util
import os
import statistics
from pathlib import Path

import numpy as np

from keras_vicreg.data.batches import EpochBatches
from keras_vicreg.data.bit_depth import SixteenBits
from keras_vicreg.data.folders import ImageFolder, is_folder
from keras_vicreg.data.unreadable import MOST, Unreadable
from keras_vicreg.devices import replicas

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
    if not is_folder(source) or not importlib.util.find_spec("tensorflow"):
        return []
    folder = ImageFolder(Path(source).expanduser())
    paths = [path for _, path, _ in folder.source(split).records(None)]
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


class FileViews(EpochBatches):
    """Batches of views of image files, for `fit` of a model with `views=None`.

    Unreadable files are made up for by others. They are named once: when the next epoch
    begins, or when `fit` ends.

    Args:
        paths: list of file names.
        views: a `kv.TwoViews`, whose seed is not used.
        batch_size: int, at least 2, at most the number of files.
        seed: int, seed of orders and views. Defaults to `0`.
        max_unreadable: share of the files that may be unreadable, 0 to 1. Defaults to
            a half.

    Raises:
        ValueError: if the files are fewer than a batch; from a batch, if too many
            cannot be read, or those that can are fewer than a batch.

    Example:

    >>> paths = large_photographs("photographs/", 224)
    >>> model.fit(FileViews(paths, kv.TwoViews(224), batch_size=256), epochs=100)
    """

    def __init__(
        self,
        paths,
        views,
        batch_size: int,
        *,
        seed: int = 0,
        max_unreadable: float = MOST,
    ):
        super().__init__(len(paths), batch_size, seed=seed)
        self.paths = np.array([os.fsencode(path) for path in paths])
        self.views = views
        self.unreadable = Unreadable(len(paths), max_unreadable, least=batch_size)
        self.deep = SixteenBits()
        self.start_at(0)

    def start_at(self, epoch: int) -> None:
        super().start_at(epoch)
        self.position = None

    def __getitem__(self, index: int):
        if index != self.position:
            self.say()
            self.start_at(self.epoch)
            self.iterator = self._pipeline().skip(index).as_numpy_iterator()
        self.position = index + 1
        try:
            return (next(self.iterator),)
        except Exception:
            self.unreadable.check()  # likewise
            raise

    @contextlib.contextmanager
    def reading(self):
        try:
            yield
        except Exception:
            self.unreadable.check()  # in our words, and not in a backend's
            raise
        finally:
            self.say()

    def say(self) -> None:
        """Warns of what was found in files since the last time."""
        self.unreadable.say()
        self.deep.say()

    def _pipeline(self):
        """The batches of this epoch, those of this process, as a `tf.data.Dataset`."""
        import tensorflow as tf

        order = self.random.permutation(self.samples)
        used = len(self) * self.batch_size
        rows = [replicas.share(rows) for rows in order[:used].reshape(len(self), -1)]
        # The same order goes on from there, and round again: so no batch has a file
        # twice.
        spare = np.roll(order, -used)
        slices = tf.data.Dataset.from_tensor_slices
        paths = slices(self.paths[np.concatenate(rows)])
        paths = paths.concatenate(slices(self.paths[spare]).repeat())
        seed = int(self.random.integers(2**31))
        views = type(self.views).from_config({**self.views.get_config(), "seed": seed})
        made = views.of_files(paths, self._skip, self.deep.see)
        batches = made.batch(len(rows[0]), drop_remainder=True)
        return batches.take(len(self)).prefetch(2)

    def _skip(self, name: str, error: Exception) -> None:
        self.unreadable.add(name, error)
        self.unreadable.check()
