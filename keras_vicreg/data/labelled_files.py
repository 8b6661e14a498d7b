"""Labelled image files that need not fit into memory, in their order."""

from collections.abc import Iterator

import numpy as np

from keras_vicreg.data.image_files import ImageReader
from keras_vicreg.data.sources import ImageSource
from keras_vicreg.data.streams import in_order
from keras_vicreg.data.unreadable import Unreadable

# That of `kv.embed`, which so has the same batches of an array.
BATCH_SIZE = 256


class LabelledFiles:
    """Batches of all images of a source and their labels, the same ones each time.

    Images are named by their whole paths, as `FileViews` names them.

    Args:
        source: of image files.
        image_size: int, height and width in pixels.
        unreadable: the `Unreadable` that those are put into. Defaults to one of its
            own, in which all but one may be.
    """

    def __init__(self, source: ImageSource, image_size: int, unreadable=None):
        self.source = source
        if unreadable is None:
            unreadable = Unreadable(source.count, 1)
        self.reader = ImageReader((image_size, image_size), unreadable)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for pairs in in_order(self._chunks, BATCH_SIZE):
            images, labels = zip(*pairs)
            yield np.stack(images), np.array(labels)

    def _chunks(self, seed):
        records = self.source.records(seed)
        records = ((path, path, label) for _, path, label in records)
        return self.reader.read_in_chunks(records, BATCH_SIZE)
