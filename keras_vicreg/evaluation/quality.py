"""The health of representations or embeddings, without any label."""

import dataclasses

import numpy as np

from keras_vicreg.evaluation.result import Result

PAIRWISE = 8192  # rows whose pairs are all looked at, for the uniformity
EPSILON = 1e-7


@dataclasses.dataclass(frozen=True)
class Quality(Result):
    """The result of `kv.quality`, for Z of shape `(n, features)`.

    Attributes:
        rankme: exp of the entropy of p = s / sum(s) + 1e-7, s the singular values of
            Z as it is: how many directions it uses, 1..min(n, features). The higher
            the better, between runs of one method on one data set.
        effective_rank: exp of the entropy of the eigenvalues of the covariance
            matrix, as shares of their sum; 1..features, 0 for constant rows.
        std_mean: mean over the dimensions of the standard deviation over rows (n-1).
        std_min: the smallest of them; 0 is a dead dimension.
        mean_cosine: mean cosine of two different rows; 1 is a full collapse.
        uniformity: log of the mean over pairs of rows of exp(-2 d^2), d the distance
            of the unit vectors; 0 is a full collapse, lower is more uniform. Over the
            pairs of at most 8,192 rows, evenly taken.
        alignment: mean squared distance of the unit vectors of positive pairs, 0..4;
            `None` without `positives`.
        singular_values: those of the centred Z, divided by sqrt(n-1): the standard
            deviations along the principal axes; descending, `(min(n, features),)`.
    """

    rankme: float
    effective_rank: float
    std_mean: float
    std_min: float
    mean_cosine: float
    uniformity: float
    alignment: float | None
    singular_values: np.ndarray = dataclasses.field(repr=False, compare=False)

    def as_dict(self) -> dict:
        """All of it, ready for JSON."""
        return {
            **super().as_dict(),
            "singular_values": self.singular_values.tolist(),
        }


def quality(z, positives=None) -> Quality:
    """Measures whether representations or embeddings have collapsed.

    Needs no labels: it works on any folder of images, during and after pretraining.

    Args:
        z: array `(n, features)`, n at least 2, such as `kv.embed` gives.
        positives: optional array of the same shape: row i is of another view of the
            image that row i of `z` is of. With it, `alignment` is known.

    Returns:
        A `Quality`, see its attributes.

    Raises:
        ValueError: if an array is not of rank 2, has fewer than two rows or values
            that are not finite, or the two are of different shapes.

    Example:

    >>> z = np.random.default_rng(0).standard_normal((1000, 32))
    >>> health = kv.quality(z)
    >>> round(health.rankme, 1), round(health.mean_cosine, 3)
    (31.9, 0.0)

    Reference:
        RankMe: Garrido et al., https://arxiv.org/abs/2210.02885, equation 1.
        Effective rank: Roy and Vetterli, EUSIPCO 2007. Alignment and uniformity: Wang
        and Isola, https://arxiv.org/abs/2005.10242.
    """
    z = _checked("z", z)
    centred = z - z.mean(axis=0)
    deviations = centred.std(axis=0, ddof=1)
    spectrum = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(z) - 1)
    unit = _unit(z)
    alignment = None
    if positives is not None:
        positives = _checked("positives", positives)
        if positives.shape != z.shape:
            raise ValueError(
                "`positives` must have the shape of `z`. Received: "
                f"{positives.shape} and {z.shape}"
            )
        distances = np.square(unit - _unit(positives)).sum(axis=1)
        alignment = float(distances.mean())
    total = np.square(unit.sum(axis=0)).sum() - np.square(unit).sum()
    return Quality(
        rankme=_rankme(np.linalg.svd(z, compute_uv=False)),
        effective_rank=_exponential_entropy(np.square(spectrum)),
        std_mean=float(deviations.mean()),
        std_min=float(deviations.min()),
        mean_cosine=float(total / (len(z) * (len(z) - 1))),
        uniformity=_uniformity(unit),
        alignment=alignment,
        singular_values=spectrum,
    )


def _checked(name, array) -> np.ndarray:
    array = np.asarray(array, "float64")
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(
            f"`{name}` must be of the shape (n, features), n at least 2. "
            f"Received: an array of shape {array.shape}"
        )
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise ValueError(
            f"`{name}` must be finite. Received: NaN or infinity in {bad.sum()} of "
            f"{len(array)} rows, the first at index {bad.argmax()}"
        )
    return array


def _unit(z):
    norms = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(norms > 0, norms, 1)


def _rankme(values):
    shares = values / max(values.sum(), np.finfo("float64").tiny) + EPSILON
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _exponential_entropy(values):
    if not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _uniformity(unit):
    if len(unit) > PAIRWISE:
        unit = unit[np.linspace(0, len(unit) - 1, PAIRWISE).astype(int)]
    total = 0.0
    for start in range(0, len(unit), 1024):
        block = unit[start : start + 1024]
        squared = 2 - 2 * (block @ unit[start:].T)  # with itself and what follows
        kernel = np.exp(-2 * np.maximum(squared, 0))
        total += np.triu(kernel, k=1).sum()
    return float(np.log(total / (len(unit) * (len(unit) - 1) / 2)))
