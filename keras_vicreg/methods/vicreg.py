"""VICReg: Variance-Invariance-Covariance Regularization.

Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for
Self-Supervised Learning", ICLR 2022, https://arxiv.org/abs/2105.04906
"""

from typing import ClassVar

import keras
from keras import ops

from keras_vicreg.methods.embeddings import check_convention, checked_embeddings
from keras_vicreg.methods.joint_embedding import JointEmbedding, check_weight
from keras_vicreg.methods.regularizers import variance_covariance

# What the published implementations differ in. Factors multiply the term of the
# authors' code; `correction` is subtracted from N in the variance of the hinge.
CONVENTIONS = {
    # the authors' code: mean over N and D; hinge halved; unbiased variance
    "official": {"per_sample": False, "hinge_factor": 0.5, "correction": 1},
    # the paper's equations 1 to 6: no 1/D in the invariance, hinge not halved
    "paper": {"per_sample": True, "hinge_factor": 1.0, "correction": 1},
    # the PyTorch tutorial and the libraries after it: hinge not halved
    "tutorial": {"per_sample": False, "hinge_factor": 1.0, "correction": 1},
    # as official, with the variance of the batch taken for its population's
    "population": {"per_sample": False, "hinge_factor": 0.5, "correction": 0},
}


def vicreg_terms(a, b, *, convention: str = "official") -> dict:
    """The three terms of VICReg, unweighted.

    With N samples of D dimensions, centred embeddings Z and C = Z^T Z / (N - 1):
    invariance is the mean squared difference of the two views (equation 5), variance
    the mean of max(0, 1 - std) over dimensions (equation 1), covariance the sum of
    squared off-diagonal entries of C over D (equation 4), both summed over views.

    Everything is computed in float32, whatever the dtype of the embeddings.

    Args:
        a: embeddings of one view, `(batch, features)`, batch at least 2.
        b: embeddings of the other view, same shape.
        convention: one of `"official"` (the authors' code), `"paper"`,
            `"tutorial"`, `"population"`: published implementations differ in
            constant factors. Defaults to `"official"`.

    Returns:
        A dict of scalars, float32: `"invariance"`, `"variance"`, `"covariance"`.

    Raises:
        ValueError: if the shapes differ, are not of rank 2 or hold fewer than two
            samples, or the convention is unknown.

    Example:

    >>> terms = kv.vicreg_terms(a, b)
    >>> loss = 25 * terms["invariance"] + 25 * terms["variance"] + terms["covariance"]

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, section 4.1.
    """
    rule = CONVENTIONS[check_convention(convention, CONVENTIONS)]
    a, b = checked_embeddings(a, b, least=2)
    return {
        "invariance": _invariance(a, b, rule),
        **_regularizers(a, b, rule=rule),
    }


def _invariance(a, b, rule: dict):
    mean = ops.mean(ops.square(a - b))
    return mean * a.shape[1] if rule["per_sample"] else mean


def _regularizers(*views, rule: dict) -> dict:
    factors = {name: rule[name] for name in ("hinge_factor", "correction")}
    return variance_covariance(*views, **factors)


@keras.saving.register_keras_serializable(package="keras_vicreg")
class VICReg(JointEmbedding):
    """Pretrains an encoder without labels, with the VICReg loss.

    Nothing but the loss prevents collapse: the embeddings of two views of an image
    are drawn together (invariance) while every dimension keeps a standard deviation
    of 1 over the batch (variance) and dimensions are decorrelated (covariance). Under
    a distribution strategy the statistics are those of the global batch.

    Args:
        encoder: any Keras model that maps images `(batch, height, width, channels)`
            to vectors, or to feature maps, which are then pooled.
        expander: model that maps representations to embeddings. Defaults to
            `kv.expander()`, 8192-8192-8192, the paper's for ImageNet.
        invariance_weight: float, the paper's lambda. Defaults to 25.
        variance_weight: float, the paper's mu. Defaults to 25.
        covariance_weight: float, the paper's nu. Defaults to 1.
        convention: constant factors of the terms, see `kv.vicreg_terms`. Defaults to
            `"official"`, the authors' code.
        microbatch_size: int, for batches larger than the memory: the network works on
            as many images at a time, over all devices, while the loss and its gradient
            are those of the whole batch. It must divide the batch size, which must be
            known (`drop_remainder=True` in `tf.data`). Each piece is computed twice.
            Batch normalization takes its statistics from a piece ("ghost" batch
            normalization, Hoffer et al., 2017), on TensorFlow with several replicas
            from a replica's share of it. Defaults to `None`, the whole batch at once.
        name: name of the model. Defaults to `"vicreg"`.
        **options: `views`, and the parts that other methods have, `predictor`,
            `stop_gradient`, `momentum`: see
            `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Raises:
        ValueError: if a weight is negative, the convention unknown, or the encoder
            gives neither vectors nor feature maps.

    Example:

    ```python
    model = kv.VICReg(
        kv.encoder("resnet18", image_shape=(32, 32, 3), stem="cifar"),
        kv.expander((2048, 2048, 2048)),
        views=kv.TwoViews(32, recipe="vicreg_cifar"),
    )
    model.compile(kv.LARS(learning_rate=0.5))
    model.fit(kv.load_images("sample", image_size=32), batch_size=256, epochs=10)
    representations = model.encoder.predict(images)
    ```

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, https://arxiv.org/abs/2105.04906
    """

    head: ClassVar = {"output_bias": False}

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        convention: str = "official",
        name: str = "vicreg",
        **options,
    ):
        check_convention(convention, CONVENTIONS)
        super().__init__(
            encoder,
            expander,
            term_weights={
                "invariance": invariance_weight,
                "variance": variance_weight,
                "covariance": covariance_weight,
            },
            options={"convention": convention},
            name=name,
            **options,
        )

    def widths(self, features: int) -> tuple:
        return (8192, 8192, 8192)

    def loss_terms(self, a, b) -> dict:
        return {"invariance": _invariance(a, b, CONVENTIONS[self.convention])}

    def regularize(self, embeddings) -> dict:
        return _regularizers(*embeddings, rule=CONVENTIONS[self.convention])


@keras.saving.register_keras_serializable(package="keras_vicreg")
class VICRegLoss(keras.losses.Loss):
    """The VICReg loss for a training loop of one's own.

    Args:
        invariance_weight: float. Defaults to 25.
        variance_weight: float. Defaults to 25.
        covariance_weight: float. Defaults to 1.
        convention: constant factors of the terms, see `kv.vicreg_terms`. Defaults to
            `"official"`.
        name: name of the loss. Defaults to `"vicreg_loss"`.

    Call arguments:
        y_true, y_pred: the embeddings of the two views, `(batch, features)`; the
            loss is symmetric in them. Under a distribution strategy, gather them
            first with `keras_vicreg.devices.replicas.gather`.

    Returns:
        A float32 scalar.

    Example:

    >>> loss = kv.VICRegLoss()(embeddings_a, embeddings_b)
    """

    def __init__(
        self,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        convention: str = "official",
        name: str = "vicreg_loss",
    ):
        # The loss is one number for the batch: there is nothing to reduce.
        super().__init__(name=name, reduction=None, dtype="float32")
        self.term_weights = {
            "invariance": check_weight("invariance_weight", invariance_weight),
            "variance": check_weight("variance_weight", variance_weight),
            "covariance": check_weight("covariance_weight", covariance_weight),
        }
        self.convention = check_convention(convention, CONVENTIONS)

    def call(self, y_true, y_pred):
        terms = vicreg_terms(y_true, y_pred, convention=self.convention)
        return sum(weight * terms[name] for name, weight in self.term_weights.items())

    def get_config(self):
        weights = {f"{name}_weight": w for name, w in self.term_weights.items()}
        return {"name": self.name, "convention": self.convention, **weights}
