"""W-MSE: whitening for self-supervised representation learning.

Ermolov, Siarohin, Sangineto, Sebe, "Whitening for Self-Supervised Representation
Learning", ICML 2021, https://arxiv.org/abs/2007.06346
"""

import itertools
import math

import keras
from keras import ops

from keras_vicreg.methods.embeddings import (
    check_convention,
    check_several,
    checked_embeddings,
    cosines,
    matmul,
)
from keras_vicreg.methods.joint_embedding import JointEmbedding

# What the published implementations differ in: how whitened embeddings are compared.
CONVENTIONS = {
    # 2 - 2 cos, a mean over images
    "official": lambda a, b: ops.mean(2.0 - 2.0 * cosines(a, b)),
    # the authors' other variant: squared differences, a mean over features too
    "euclidean": lambda a, b: ops.mean(ops.square(a - b)),
}

SINGULAR = (
    "The covariance of every slice must be positive definite: the embeddings have "
    "collapsed or overflowed. `whitening_epsilon=1e-3` keeps it so."
)


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
    covariance = matmul(x, ops.transpose(x, (0, 2, 1))) / (slice_size - 1)
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


@keras.saving.register_keras_serializable(package="keras_vicreg")
class WMSE(JointEmbedding):
    """Pretrains an encoder with W-MSE.

    The embeddings of two or more views of an image are drawn together after they were
    whitened, so that they cannot collapse. Views are of one size, as those of
    `kv.TwoViews`; more of them come as a tuple of arrays, or from a layer of yours.

    Args:
        encoder: any Keras model that maps images to vectors or feature maps.
        expander: model that maps representations to embeddings. Defaults to the
            paper's, 1024-64.
        slice_size: int, the number of images that are whitened together, a divisor of
            the batch size and at least twice the features. Defaults to `None`, twice
            the features.
        slicings: int, how often the batch is dealt out into slices, at random when
            more than once. Defaults to 1, in the order of the batch.
        whitening_epsilon: float, the share of the identity in the covariance. Defaults
            to 0; 1e-3 cures covariances that are singular.
        distance_weight: float. Defaults to 1.
        convention: see `kv.wmse_terms`. Defaults to `"official"`.
        name: name of the model. Defaults to `"wmse"`.
        **options: `views`, `microbatch_size`, and the parts that other methods have:
            see `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Example:

    ```python
    model = kv.WMSE(encoder, views=kv.TwoViews(224, recipe="wmse"))
    model.compile(kv.LARS(learning_rate=0.5))
    model.fit(images, batch_size=256, epochs=10)
    ```

    Reference:
        Ermolov et al., "Whitening for Self-Supervised Representation Learning", ICML
        2021, https://arxiv.org/abs/2007.06346
    """

    views_taken = (2, None)

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        slice_size: int | None = None,
        slicings: int = 1,
        whitening_epsilon: float = 0.0,
        distance_weight: float = 1.0,
        convention: str = "official",
        name: str = "wmse",
        **options,
    ):
        check_convention(convention, CONVENTIONS)
        if type(slicings) is not int or slicings < 1:
            raise ValueError(
                "`slicings` must be an integer of at least 1. "
                f"Received: slicings={slicings!r}"
            )
        super().__init__(
            encoder,
            expander,
            term_weights={"distance": distance_weight},
            options={
                "slice_size": slice_size,
                "slicings": slicings,
                "whitening_epsilon": whitening_epsilon,
                "convention": convention,
            },
            name=name,
            **options,
        )
        features = self.expander.output_shape[-1]
        self.images_in_slice = 2 * features if slice_size is None else slice_size
        check_slices(self.images_in_slice, None, features)
        self.orders = keras.random.SeedGenerator(0) if slicings > 1 else None

    def widths(self, features: int) -> tuple:
        return (1024, 64)

    def loss_terms(self, *views) -> dict:
        permutations = None
        if self.slicings > 1:
            images = ops.arange(ops.shape(views[0])[0])
            permutations = [
                keras.random.shuffle(images, seed=self.orders)
                for _ in range(self.slicings)
            ]
        return wmse_terms(
            views,
            slice_size=self.images_in_slice,
            permutations=permutations,
            epsilon=self.whitening_epsilon,
            convention=self.convention,
        )

    def check_batch_size(self, batch_size) -> None:
        super().check_batch_size(batch_size)
        features = self.expander.output_shape[-1]
        check_slices(self.images_in_slice, batch_size, features)

    def fit(self, *args, callbacks=None, **kwargs):
        callbacks = [*(callbacks or ()), _Whitened()]
        try:
            return super().fit(*args, callbacks=callbacks, **kwargs)
        except Exception as error:  # each backend has another, or none
            if "holesky" not in str(error):
                raise
            raise ValueError(SINGULAR) from error


class _Whitened(keras.callbacks.Callback):
    """Ends a run of numbers that are none, where the backend does not."""

    def on_train_batch_end(self, batch, logs=None):
        if math.isnan((logs or {}).get("loss", 0.0)):
            raise ValueError(f"{SINGULAR} Received: loss=nan")
