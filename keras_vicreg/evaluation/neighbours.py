"""Exact nearest neighbours by cosine similarity, in blocks of bounded memory."""

import numbers
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

BLOCK = 2**26  # similarities at a time, of all cores together: 256 MiB
GROUP = 16
SPARE = 8
DECIMALS = 12


def nearest(
    queries: np.ndarray, bank: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the k rows of `bank` that are most similar to each query.

    The result is that of float64 arithmetic, while the bulk of the work is float32:
    float32 similarities choose a few more than k candidates, these are computed again
    in float64, and where the candidates left out could still matter, within the
    rounding error, the whole row is. Similarities that agree to 12 decimals are equal,
    and then the earlier row is nearer. A vector of zeros is similar to nothing (0).

    Args:
        queries: array `(queries, features)`, float32.
        bank: array `(rows, features)`, float32.
        k: int, at most the number of rows.

    Returns:
        `(indices, similarities)`: arrays `(queries, k)`, nearest first; int64 and
        float64.
    """
    queries, bank = _unit(queries), _unit(bank)
    cores = os.cpu_count() or 1
    size = max(1, BLOCK // cores // max(len(bank[0]), k * bank[0].shape[1]))
    rounds = -(-len(queries[0]) // (size * cores))  # with work for all cores in each
    blocks = zip(*(np.array_split(part, rounds * cores) for part in queries))
    # A core works on a block from its product to its neighbours, since only the product
    # would be shared out among the cores.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores) as pool:
        parts = list(pool.map(lambda block: _nearest(block, bank, k), blocks))
    return tuple(np.concatenate(part) for part in zip(*parts))


def mine_neighbours(features, k: int = 20) -> np.ndarray:
    """The nearest other images of every image, by cosine similarity, exact.

    Args:
        features: array `(images, features)`, representations or embeddings.
        k: int, the number of neighbours. Defaults to 20.

    Returns:
        int64 array `(images, k)`: rows of `features`, nearest first. An image is none
        of its own neighbours; an equal one is. Of equally near ones the earlier row
        comes first.

    Raises:
        ValueError: unless `features` are finite vectors, and 1 <= k < images.

    Example:

    >>> images = kv.load_images("sample", 32)
    >>> encoder = kv.from_preset("vicreg_resnet18_cifar10")
    >>> kv.mine_neighbours(kv.embed(encoder, images)).shape
    (3068, 20)

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, section 2.1.
    """
    features = np.asarray(features, "float32")
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(
            "`features` must be finite vectors, (images, features). "
            f"Received: an array of shape {features.shape}"
            + (", not finite" if features.ndim == 2 else "")
        )
    (k,) = check_k(k, len(features) - 1)
    candidates, _ = nearest(features, features, k + 1)
    # By its number and not by its place: an equal image may come before it, and
    # several may leave it out.
    others = candidates != np.arange(len(features))[:, None]
    others[others.all(axis=1), -1] = False
    return candidates[others].reshape(-1, k)


def check_k(k, most: int) -> tuple[int, ...]:
    """The numbers of neighbours that are asked for, one or several, as ints.

    Args:
        k: an integer, of Python or NumPy, or several of them.
        most: how many rows there are to search.

    Raises:
        ValueError: if one is no integer, or not in 1..most.
    """
    several = tuple(k) if np.ndim(k) else (k,)
    whole = all(isinstance(each, numbers.Integral) for each in several)
    if not several or not whole or not all(1 <= each <= most for each in several):
        raise ValueError(
            "`k` must be at least 1 and at most the number of images to search, an "
            f"integer or several. Received: k={k!r} for {most} images"
        )
    return tuple(map(int, several))


def _unit(vectors):
    """`(float32 unit vectors, the vectors, their float64 norms)`."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype="float64"))
    norms = np.where(norms > 0, norms, 1)
    return vectors / norms[:, None].astype("float32"), vectors, norms


def _nearest(queries, bank, k):
    """`nearest` of a few queries; both come from `_unit`."""
    rows, features = bank[0].shape
    similarities = queries[0] @ bank[0].T  # (queries, rows)
    if rows <= k + SPARE:
        candidates = np.broadcast_to(np.arange(rows), similarities.shape)
        left_out = np.full(len(candidates), -np.inf)
    else:
        candidates, left_out = _candidates(similarities, k + SPARE)
    exact = _exact(queries, bank, candidates)
    chosen = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    indices = np.take_along_axis(candidates, chosen, axis=1)
    values = np.take_along_axis(exact, chosen, axis=1)
    # Twice the worst rounding error of a float32 product of unit vectors.
    error = 2 * (features + 4) * np.finfo("float32").eps
    for row in np.flatnonzero(left_out + error >= values[:, -1]):
        indices[row], values[row] = _whole_row(queries, bank, row, k)
    return indices, values


def _candidates(similarities, count):
    """The `count` largest of each row, ascending indices, and the largest left out.

    The largest `count` lie in the `count` groups of columns with the largest maxima:
    only these are partitioned; every similarity is read once, fast.
    """
    rows, columns = similarities.shape
    groups = columns // GROUP
    if groups <= 2 * count:
        return _partition(similarities, np.arange(columns)[None], count)
    # A group is every `groups`-th column: its maximum is taken along whole rows.
    whole = similarities[:, : groups * GROUP].reshape(rows, GROUP, groups)
    maxima = whole.max(axis=1)
    chosen, left_out = _partition(maxima, np.arange(groups)[None], count)
    members = chosen[:, :, None] + groups * np.arange(GROUP)
    members = members.reshape(rows, -1)
    rest = np.arange(groups * GROUP, columns)
    members = np.hstack([members, np.broadcast_to(rest, (rows, len(rest)))])
    # `take` of the flat array is several times as fast as along an axis.
    values = similarities.reshape(-1).take(members + columns * np.arange(rows)[:, None])
    candidates, second = _partition(values, members, count)
    return candidates, np.maximum(left_out, second)


def _partition(values, names, count):
    order = np.argpartition(values, -count - 1, axis=1)[:, -count - 1 :]
    left_out = np.take_along_axis(values, order[:, :1], axis=1)[:, 0]
    names = np.broadcast_to(names, values.shape)
    return np.sort(np.take_along_axis(names, order[:, 1:], axis=1)), left_out


def _exact(queries, bank, candidates):
    """Similarities `(queries, candidates)` in float64."""
    products = np.empty(candidates.shape)
    for product, query, chosen in zip(products, queries[1], candidates, strict=True):
        # A query at a time: its rows stay in the cache while they become float64.
        product[:] = bank[1][chosen].astype("float64") @ query.astype("float64")
    return np.round(products / queries[2][:, None] / bank[2][candidates], DECIMALS)


def _whole_row(queries, bank, row, k):
    """The k nearest of one query, every similarity in float64."""
    similarities = np.empty(len(bank[0]))
    for start in range(0, len(similarities), 8192):
        part = slice(start, start + 8192)
        similarities[part] = bank[1][part].astype("float64") @ queries[1][row]
    similarities = np.round(similarities / queries[2][row] / bank[2], DECIMALS)
    order = np.argsort(-similarities, kind="stable")[:k]
    return order, similarities[order]
