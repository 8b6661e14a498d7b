"""Barlow Twins: self-supervised learning by redundancy reduction.

Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: Self-Supervised Learning via
Redundancy Reduction", ICML 2021, https://arxiv.org/abs/2103.03230
"""

from typing import ClassVar

import keras
from keras import ops

from keras_vicreg.methods.embeddings import (
    check_convention,
    checked_embeddings,
    matmul,
    unit,
)
from keras_vicreg.methods.joint_embedding import JointEmbedding

# What the published implementations differ in: what is subtracted from N in the
# standard deviation, and what is added to the variance.
CONVENTIONS = {
    # the authors' code: a batch normalization without gamma and beta
    "official": {"correction": 0, "epsilon": 1e-5},
    # equation 2: correlations
    "paper": {"correction": 0, "epsilon": 0.0},
    # the paper's pseudo-code, whose diagonal is at most (N - 1) / N
    "pseudocode": {"correction": 1, "epsilon": 0.0},
}


def barlow_twins_terms(a, b, *, convention: str = "official") -> dict:
    """The two terms of Barlow Twins, unweighted.

    With the columns of both views standardized over the batch and C = A^T B / N, the
    `(features, features)` cross-correlation: invariance is the sum of (1 - C_ii)^2,
    redundancy that of C_ij^2 off the diagonal. Where the batch is at most half as
    large as the features, C is never formed: products of samples, `(batch, batch)`,
    give the same sum.

    Args:
        a: embeddings of one view, `(batch, features)`, batch at least 2.
        b: embeddings of the other view, same shape.
        convention: one of `"official"` (the authors' code), `"paper"` (equation 2),
            `"pseudocode"` (the paper's algorithm 1). Defaults to `"official"`.

    Returns:
        A dict of scalars, float32: `"invariance"`, `"redundancy"`.

    Raises:
        ValueError: if the shapes differ, are not of rank 2 or hold fewer than two
            samples, or the convention is unknown.

    Example:

    >>> terms = kv.barlow_twins_terms(a, b)
    >>> loss = terms["invariance"] + 0.0051 * terms["redundancy"]

    Reference:
        Zbontar et al., "Barlow Twins", ICML 2021, section 2.1.
    """
    rule = CONVENTIONS[check_convention(convention, CONVENTIONS)]
    a, b = (_standardized(z, **rule) for z in checked_embeddings(a, b, least=2))
    samples = ops.cast(ops.shape(a)[0], "float32")
    diagonal = ops.sum(a * b, axis=0) / samples  # (D,)
    squares = _sum_of_squares(a, b) / samples**2
    return {
        "invariance": ops.sum(ops.square(1.0 - diagonal)),
        "redundancy": squares - ops.sum(ops.square(diagonal)),
    }


def _standardized(z, correction: int, epsilon: float):
    """Columns of mean 0 and standard deviation 1; a constant column becomes 0."""
    z = z - ops.mean(z, axis=0)  # (N, D)
    samples = ops.cast(ops.shape(z)[0], "float32") - correction
    if not epsilon:
        return ops.sqrt(samples) * unit(z, axis=0)
    variance = ops.sum(ops.square(z), axis=0) / samples  # (D,)
    return z * ops.rsqrt(variance + epsilon)


def _sum_of_squares(a, b):
    """Sum of the squared entries of A^T B, on its smaller side.

    tr(A^T B B^T A) = tr(A A^T B B^T): two products of (N, N) numbers for one of
    (D, D), so that it pays for 2 N <= D.
    """

    def by_samples():
        products = [matmul(z, ops.transpose(z)) for z in (a, b)]  # (N, N)
        return ops.sum(products[0] * products[1])

    def by_features():
        return ops.sum(ops.square(matmul(ops.transpose(a), b)))  # (D, D)

    samples, features = a.shape
    if samples is None:  # a TensorFlow graph for batches of any size
        return ops.cond(2 * ops.shape(a)[0] <= features, by_samples, by_features)
    return by_samples() if 2 * samples <= features else by_features()


@keras.saving.register_keras_serializable(package="keras_vicreg")
class BarlowTwins(JointEmbedding):
    """Pretrains an encoder with Barlow Twins.

    The cross-correlation of the embeddings of two views is drawn to the identity: each
    feature agrees over views (invariance), and no two say the same (redundancy). Under
    a distribution strategy it is that of the global batch, and so is its gradient.

    Args:
        encoder: any Keras model that maps images to vectors or feature maps.
        expander: model that maps representations to embeddings. Defaults to the
            paper's for ImageNet, 8192-8192-8192; 2048-2048-2048 is usual for small
            images.
        invariance_weight: float. Defaults to 1.
        redundancy_weight: float, the paper's lambda. Defaults to 0.0051. Some
            libraries scale both weights, by 0.1 for CIFAR.
        convention: see `kv.barlow_twins_terms`. Defaults to `"official"`.
        name: name of the model. Defaults to `"barlow_twins"`.
        **options: `views`, `microbatch_size`, and the parts that other methods have:
            see `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Example:

    ```python
    model = kv.BarlowTwins(encoder, views=kv.TwoViews(224, recipe="barlow_twins"))
    model.compile(kv.LARS(learning_rate=0.5))
    model.fit(images, batch_size=256, epochs=10)
    ```

    Reference:
        Zbontar et al., "Barlow Twins", ICML 2021, https://arxiv.org/abs/2103.03230
    """

    head: ClassVar = {"hidden_bias": False, "output_bias": False}

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        invariance_weight: float = 1.0,
        redundancy_weight: float = 0.0051,
        convention: str = "official",
        name: str = "barlow_twins",
        **options,
    ):
        check_convention(convention, CONVENTIONS)
        super().__init__(
            encoder,
            expander,
            term_weights={
                "invariance": invariance_weight,
                "redundancy": redundancy_weight,
            },
            options={"convention": convention},
            name=name,
            **options,
        )

    def widths(self, features: int) -> tuple:
        return (8192, 8192, 8192)

    def loss_terms(self, a, b) -> dict:
        return barlow_twins_terms(a, b, convention=self.convention)
