"""Batches of images, or of what stands for them, each with one of its neighbours."""

import numpy as np

from keras_vicreg.data.batches import EpochBatches
from keras_vicreg.devices import replicas


class NeighbourBatches(EpochBatches):
    """Batches `((rows, neighbours),)`, a neighbour drawn anew in every epoch.

    An image is drawn as its own neighbour as often as each of the others, as in the
    authors' code. Orders and draws hang on the seed and the epoch alone.

    Args:
        array: array `(n, ...)`, images or their representations.
        neighbours: int array `(n, k)`, rows of `array`, as `kv.mine_neighbours` gives
            them.
        batch_size: int, at least 2, at most n.
        seed: int. Defaults to 0.

    Raises:
        ValueError: if `neighbours` are no rows of the array.

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, section 2.2 and the authors' code.
    """

    def __init__(self, array, neighbours, batch_size: int, *, seed: int = 0):
        self.array = array
        self.neighbours = check_neighbours(neighbours, len(array))
        super().__init__(len(array), batch_size, seed=seed)
        self.start_at(0)

    def start_at(self, epoch: int) -> None:
        super().start_at(epoch)
        self.order = self.random.permutation(self.samples)
        own = np.arange(self.samples)[:, None]
        table = np.hstack([own, self.neighbours])
        draws = self.random.integers(table.shape[1], size=(self.samples, 1))
        self.drawn = np.take_along_axis(table, draws, axis=1)[:, 0]

    def __getitem__(self, index: int):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        rows = replicas.share(rows)
        return ((self.array[rows], self.array[self.drawn[rows]]),)


def check_neighbours(neighbours, count: int) -> np.ndarray:
    """The table as an int array, if its rows are those of `count` images."""
    table = np.asarray(neighbours)
    shaped = table.ndim == 2 and len(table) == count and table.shape[1]
    if not shaped or not np.issubdtype(table.dtype, np.integer):
        raise ValueError(
            "`neighbours` must be integers of shape (images, neighbours), as "
            "`kv.mine_neighbours` gives them. "
            f"Received: {table.dtype} of shape {table.shape} for {count} images"
        )
    if table.min() < 0 or table.max() >= count:
        raise ValueError(
            "`neighbours` must be rows of the images. "
            f"Received: {table.min()} to {table.max()} for {count} images"
        )
    return table
