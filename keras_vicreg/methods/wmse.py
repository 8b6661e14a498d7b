"""W-MSE: whitening for self-supervised representation learning.

Ermolov, Siarohin, Sangineto, Sebe, "Whitening for Self-Supervised Representation
Learning", ICML 2021, https://arxiv.org/abs/2007.06346
"""

import itertools

from keras import ops

from keras_vicreg.methods.embeddings import (
    check_convention,
    check_several,
    checked_embeddings,
    cosines,
)

# What the published implementations differ in: how whitened embeddings are compared.
CONVENTIONS = {
    # 2 - 2 cos, a mean over images
    "official": lambda a, b: ops.mean(2.0 - 2.0 * cosines(a, b)),
    # the authors' other variant: squared differences, a mean over features too
    "euclidean": lambda a, b: ops.mean(ops.square(a - b)),
}


def wmse_terms(
    views,
    *,
    slice_size: int | None = None,
    permutations=None,
    epsilon: float = 0.0,
    convention: str = "official",
) -> dict:
    """The mean distance of the whitened embeddings of any two views of an image.

    The batch is cut into slices, and every slice of every view is whitened by itself.
    No embedding can be constant then; there is nothing else against collapse, and
    the gradient flows through both views and through the whitening.

    Args:
        views: sequence of embeddings, `(batch, features)` each, at least two.
        slice_size: int, the number of images in a slice, a divisor of the batch and at
            least twice the features. Defaults to `None`, the whole batch.
        permutations: orders of the images before they are cut, `(count, batch)`; the
            terms are their mean. Defaults to `None`, the order they have.
        epsilon: float, the share of the identity in the covariance. Defaults to 0.
        convention: `"official"` (unit vectors, 0..4) or `"euclidean"`. Defaults to
            `"official"`.

    Returns:
        A dict of one scalar, float32: `"distance"`.

    Raises:
        ValueError: if the shapes differ or are not of rank 2, the batch cannot be
            sliced so, or the convention is unknown.

    Reference:
        Ermolov et al., "Whitening for Self-Supervised Representation Learning", ICML
        2021, section 3.
    """
    distance = CONVENTIONS[check_convention(convention, CONVENTIONS)]
    views = checked_embeddings(*views, least=2)
    check_several(views)
    samples, features = views[0].shape
    check_slices(slice_size or samples, samples, features)
    sums = []
    for order in [None] if permutations is None else permutations:
        ordered = views if order is None else [ops.take(z, order, 0) for z in views]
        white = [whitened(z, slice_size or samples, epsilon) for z in ordered]
        sums += [distance(a, b) for a, b in itertools.combinations(white, 2)]
    return {"distance": sum(sums) / len(sums)}


def whitened(z, slice_size: int, epsilon: float = 0.0):
    """Embeddings of mean 0 and covariance I, slice by slice.

    With the Cholesky factor L of a slice's covariance (of `slice_size` - 1), it is
    L^-1 of the centred embeddings.

    Args:
        z: `(batch, features)`, float32.
        slice_size: int, a divisor of the batch.
        epsilon: float, the share of the identity in the covariance.

    Returns:
        `(batch, features)`.
    """
    features = z.shape[1]
    x = ops.reshape(z, (-1, slice_size, features))  # (slices, m, D)
    x = ops.transpose(x - ops.mean(x, axis=1, keepdims=True), (0, 2, 1))  # (_, D, m)
    covariance = ops.matmul(x, ops.transpose(x, (0, 2, 1))) / (slice_size - 1)
    covariance = (1.0 - epsilon) * covariance + epsilon * ops.eye(features)
    white = ops.solve_triangular(ops.cholesky(covariance), x, lower=True)
    return ops.reshape(ops.transpose(white, (0, 2, 1)), (-1, features))


def check_slices(slice_size: int, batch_size, features: int) -> None:
    """Raises unless batches can be cut into slices that can be whitened."""
    if type(slice_size) is not int or slice_size < 2 * features:
        raise ValueError(
            "`slice_size` must be an integer of at least twice the features, or noise "
            "decides the covariance of a slice. "
            f"Received: slice_size={slice_size!r}, {features} features"
        )
    if batch_size is not None and batch_size % slice_size:
        raise ValueError(
            "`slice_size` must be a divisor of the batch size. "
            f"Received: slice_size={slice_size}, batch_size={batch_size}"
        )
