"""SimSiam: simple Siamese networks.

Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021,
https://arxiv.org/abs/2011.10566
"""

from typing import ClassVar

import keras

from keras_vicreg.methods.embeddings import mean_cosine
from keras_vicreg.methods.joint_embedding import JointEmbedding


def simsiam_terms(predictions, targets, *, stop_gradient: bool = True) -> dict:
    """The negative cosine of predictions of one view with embeddings of the other.

    It is a mean over images and over the two ways round; all implementations agree.

    Args:
        predictions: pair of what the predictor gives, `(batch, features)` each.
        targets: pair of the embeddings it was given, same order and shapes.
        stop_gradient: whether targets are constants for the gradient. Defaults to
            `True`; without it the network collapses.

    Returns:
        A dict of one scalar, float32, in -1..1: `"negative_cosine"`. Its minimum is
        the collapsed network's too: a falling loss proves nothing.

    Raises:
        ValueError: if the shapes differ or are not of rank 2.

    Reference:
        Chen, He, "SimSiam", CVPR 2021, equations 1 to 4.
    """
    return {"negative_cosine": -mean_cosine(predictions, targets, stop_gradient)}


@keras.saving.register_keras_serializable(package="keras_vicreg")
class SimSiam(JointEmbedding):
    """Pretrains an encoder with SimSiam.

    From one view it predicts its own embedding of the other, which is a constant for
    the gradient. There are no negatives and no copy: that it does not collapse is owed
    to the predictor and the stop-gradient.

    Args:
        encoder: any Keras model that maps images to vectors or feature maps.
        expander: model that maps representations to embeddings. Defaults to the
            paper's, two hidden layers as wide as the representation and 2048 features,
            normalized.
        predictor: model that maps embeddings to predictions, or the widths of its
            hidden layers. Defaults to `(512,)`, the paper's bottleneck.
        stop_gradient: whether targets are constants. Defaults to `True`.
        negative_cosine_weight: float. Defaults to 1.
        name: name of the model. Defaults to `"simsiam"`.
        **options: `views`, `microbatch_size`, and the parts that other methods have:
            see `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Example:

    ```python
    model = kv.SimSiam(encoder, views=kv.TwoViews(224, recipe="simclr"))
    model.compile(kv.LARS(learning_rate=0.5))
    model.fit(images, batch_size=256, epochs=10)
    ```

    Reference:
        Chen, He, "SimSiam", CVPR 2021, https://arxiv.org/abs/2011.10566
    """

    head: ClassVar = {"hidden_bias": False, "output_bias": False, "output_norm": True}
    predictor_head: ClassVar = {"hidden_bias": False}
    compares_directions = True

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        predictor=(512,),
        stop_gradient: bool = True,
        negative_cosine_weight: float = 1.0,
        name: str = "simsiam",
        **options,
    ):
        super().__init__(
            encoder,
            expander,
            predictor=predictor,
            stop_gradient=stop_gradient,
            term_weights={"negative_cosine": negative_cosine_weight},
            name=name,
            **options,
        )

    def widths(self, features: int) -> tuple:
        return (features, features, 2048)

    def compare(self, predictions, targets) -> dict:
        return simsiam_terms(predictions, targets, stop_gradient=False)
