"""BYOL: bootstrap your own latent.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning",
NeurIPS 2020, https://arxiv.org/abs/2006.07733
"""

from typing import ClassVar

import keras

from keras_vicreg.methods.embeddings import check_convention, mean_cosine
from keras_vicreg.methods.joint_embedding import JointEmbedding

# What the published implementations differ in: loss = constant - factor * mean cosine.
CONVENTIONS = {
    # the paper and the authors' code: both ways round added, 0..8
    "official": (4.0, 4.0),
    # Lightning Bolts, lightly for ImageNet: without the constant, -4..4
    "bolts": (0.0, 4.0),
    # lightly for CIFAR: the mean cosine, -1..1
    "lightly": (0.0, 1.0),
}


def byol_terms(
    predictions,
    targets,
    *,
    convention: str = "official",
    stop_gradient: bool = True,
) -> dict:
    """The squared distance of predictions of one view to targets of the other.

    Both are of unit length first, so that the distance is 2 - 2 cos. It is a mean over
    images and a sum over the two ways round.

    Args:
        predictions: pair of what the predictor gives, `(batch, features)` each.
        targets: pair of embeddings of the momentum copy, of the same views in the same
            order, same shapes.
        convention: `"official"` (0..8), `"bolts"` (without the constant, -4..4) or
            `"lightly"` (the negative mean cosine, -1..1). Defaults to `"official"`.
        stop_gradient: whether targets are constants for the gradient. Defaults to
            `True`.

    Returns:
        A dict of one scalar, float32: `"distance"`. Its minimum is the collapsed
        network's too: a falling loss proves nothing.

    Raises:
        ValueError: if the shapes differ or are not of rank 2, or the convention is
            unknown.

    Reference:
        Grill et al., "BYOL", NeurIPS 2020, equations 2 and 3.
    """
    constant, factor = CONVENTIONS[check_convention(convention, CONVENTIONS)]
    cosine = mean_cosine(predictions, targets, stop_gradient)
    return {"distance": constant - factor * cosine}


@keras.saving.register_keras_serializable(package="keras_vicreg")
class BYOL(JointEmbedding):
    """Pretrains an encoder with BYOL.

    From one view it predicts what the momentum copy makes of the other. There are no
    negatives: that it does not collapse is owed to the predictor and the copy.

    Args:
        encoder: any Keras model that maps images to vectors or feature maps.
        expander: model that maps representations to embeddings. Defaults to the
            paper's, 4096-256.
        predictor: model that maps embeddings to predictions, or the widths of its
            hidden layers. Defaults to `(4096,)`, the paper's.
        momentum: float, of the copy. Defaults to 0.996, the paper's for 1000 epochs;
            0.99 for 100 and 300.
        total_steps: int, the number of training steps, in which the momentum rises to
            1. Defaults to `None`, a constant momentum.
        distance_weight: float. Defaults to 1.
        convention: see `kv.byol_terms`. Defaults to `"official"`.
        name: name of the model. Defaults to `"byol"`.
        **options: `views`, `microbatch_size`, and the parts that other methods have:
            see `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Example:

    ```python
    model = kv.BYOL(encoder, views=kv.TwoViews(224, recipe="byol"))
    model.compile(kv.LARS(learning_rate=0.5))
    model.fit(images, batch_size=256, epochs=10)
    ```

    Reference:
        Grill et al., "BYOL", NeurIPS 2020, https://arxiv.org/abs/2006.07733
    """

    head: ClassVar = {"output_bias": False}
    predictor_head: ClassVar = {"output_bias": False}
    compares_directions = True

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        predictor=(4096,),
        momentum: float | None = 0.996,
        total_steps: int | None = None,
        distance_weight: float = 1.0,
        convention: str = "official",
        name: str = "byol",
        **options,
    ):
        check_convention(convention, CONVENTIONS)
        super().__init__(
            encoder,
            expander,
            predictor=predictor,
            momentum=momentum,
            total_steps=total_steps,
            term_weights={"distance": distance_weight},
            options={"convention": convention},
            name=name,
            **options,
        )

    def widths(self, features: int) -> tuple:
        return (4096, 256)

    def compare(self, predictions, targets) -> dict:
        return byol_terms(
            predictions, targets, convention=self.convention, stop_gradient=False
        )
