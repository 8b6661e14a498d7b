"""SimCLR: a simple framework for contrastive learning.

Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020, https://arxiv.org/abs/2002.05709
"""

import keras
from keras import ops

from keras_vicreg.methods.embeddings import (
    check_convention,
    check_positive,
    checked_embeddings,
    cosines,
    matmul,
    unit,
)
from keras_vicreg.methods.joint_embedding import JointEmbedding

# What the published implementations differ in: a factor of the paper's mean.
CONVENTIONS = {
    # the paper, lightly, solo-learn: the mean over the 2 N anchors
    "paper": 1.0,
    # the authors' code: the mean over N images, both of their anchors added
    "official": 2.0,
}


def simclr_terms(a, b, *, temperature: float = 0.1, convention: str = "paper") -> dict:
    """The normalized temperature-scaled cross entropy of SimCLR (NT-Xent).

    Each of the 2 N embeddings of N images is an anchor, which has to find the other
    view of its image among the 2 N - 1 others, by their cosines over the temperature.

    Args:
        a: embeddings of one view, `(batch, features)`, batch at least 2.
        b: embeddings of the other view, same shape.
        temperature: float. Defaults to 0.1, the paper's for ImageNet; 0.5 is usual
            for small images.
        convention: `"paper"`, the mean over anchors, or `"official"`, twice that, as
            in the authors' code. Defaults to `"paper"`.

    Returns:
        A dict of one scalar, float32: `"contrastive"`.

    Raises:
        ValueError: if the shapes differ, are not of rank 2 or hold fewer than two
            samples, the temperature is not positive, or the convention is unknown.

    Example:

    >>> loss = kv.simclr_terms(a, b, temperature=0.5)["contrastive"]

    Reference:
        Chen et al., "SimCLR", ICML 2020, section 2.1.
    """
    factor = CONVENTIONS[check_convention(convention, CONVENTIONS)]
    check_positive("temperature", temperature)
    a, b = checked_embeddings(a, b, least=2)
    z = unit(ops.concatenate([a, b]))  # (2N, D)
    logits = matmul(z / temperature, ops.transpose(z))  # (2N, 2N)
    anchors = ops.arange(2 * ops.shape(a)[0])
    apart = anchors[:, None] - anchors[None, :]
    # Not among the others: the anchor itself, and the other view of its image.
    image = ops.equal(apart % ops.shape(a)[0], 0)
    others = ops.logsumexp(ops.where(image, -1e9, logits), axis=1)  # (2N,)
    positives = ops.tile(cosines(a, b) / temperature, 2)  # the same both ways round
    # log(e^positive + e^others) - positive
    return {"contrastive": factor * ops.mean(ops.softplus(others - positives))}


@keras.saving.register_keras_serializable(package="keras_vicreg")
class SimCLR(JointEmbedding):
    """Pretrains an encoder with SimCLR.

    Each embedding has to find that of the other view of its image among all of the
    global batch, which are the negatives: the larger the batch, the better.

    Args:
        encoder: any Keras model that maps images to vectors or feature maps.
        expander: model that maps representations to embeddings. Defaults to the
            paper's, one hidden layer as wide as the representation, and 128 features.
        temperature: float. Defaults to 0.1, the paper's for ImageNet; 0.5 is usual
            for small images.
        contrastive_weight: float. Defaults to 1.
        convention: see `kv.simclr_terms`. Defaults to `"paper"`.
        name: name of the model. Defaults to `"simclr"`.
        **options: `views`, `microbatch_size`, and the parts that other methods have:
            see `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Example:

    ```python
    model = kv.SimCLR(encoder, views=kv.TwoViews(224, recipe="simclr"))
    model.compile(kv.LARS(learning_rate=0.5))
    model.fit(images, batch_size=256, epochs=10)
    ```

    Reference:
        Chen et al., "SimCLR", ICML 2020, https://arxiv.org/abs/2002.05709
    """

    compares_directions = True

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        temperature: float = 0.1,
        contrastive_weight: float = 1.0,
        convention: str = "paper",
        name: str = "simclr",
        **options,
    ):
        check_convention(convention, CONVENTIONS)
        check_positive("temperature", temperature)
        super().__init__(
            encoder,
            expander,
            term_weights={"contrastive": contrastive_weight},
            options={"temperature": temperature, "convention": convention},
            name=name,
            **options,
        )

    def widths(self, features: int) -> tuple:
        return (features, 128)

    def loss_terms(self, a, b) -> dict:
        return simclr_terms(
            a, b, temperature=self.temperature, convention=self.convention
        )
