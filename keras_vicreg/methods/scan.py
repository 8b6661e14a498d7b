"""SCAN: semantic clustering by adopting nearest neighbours.

Van Gansbeke, Vandenhende, Georgoulis, Proesmans, Van Gool, "SCAN: Learning to Classify
Images without Labels", ECCV 2020, https://arxiv.org/abs/2005.12320
"""

import math

import keras
from keras import ops

from keras_vicreg.methods.embeddings import check_integers
from keras_vicreg.methods.joint_embedding import JointEmbedding

LEAST = 1e-8  # the least share of a cluster in the entropy, as in the authors' code


def scan_terms(anchors, neighbours) -> dict:
    """The two terms of SCAN, unweighted, a mean over clustering heads.

    With the probabilities p of an image and q of a neighbour: consistency is the mean
    of -log <p, q>, imbalance is ln C minus the entropy of the mean of p, 0 where all C
    clusters are equally large. The authors' loss, consistency - w entropy, is
    consistency + w imbalance but for the constant w ln C.

    Args:
        anchors: logits of images, `(batch, clusters)` or `(batch, heads, clusters)`.
        neighbours: logits of a neighbour of each, same shape.

    Returns:
        A dict of scalars, float32: `"consistency"`, `"imbalance"`.

    Raises:
        ValueError: if the shapes differ or are of another rank.

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, equation 2.
    """
    return {
        name: ops.mean(value) for name, value in head_terms(anchors, neighbours).items()
    }


def head_terms(anchors, neighbours) -> dict:
    """`scan_terms` of each head, `(heads,)`, or scalars where there is one."""
    anchors, neighbours = (
        ops.cast(ops.convert_to_tensor(z), "float32") for z in (anchors, neighbours)
    )
    shapes = tuple(anchors.shape), tuple(neighbours.shape)
    if shapes[0] != shapes[1] or len(shapes[0]) not in (2, 3):
        raise ValueError(
            "The logits of images and neighbours must have equal shapes, (batch, "
            f"clusters) or (batch, heads, clusters). Received: {shapes[0]} and "
            f"{shapes[1]}"
        )
    logs = [ops.log_softmax(z, axis=-1) for z in (anchors, neighbours)]
    agreement = ops.logsumexp(logs[0] + logs[1], axis=-1)  # (N, heads)
    shares = ops.maximum(ops.mean(ops.exp(logs[0]), axis=0), LEAST)  # (heads, C)
    entropy = -ops.sum(shares * ops.log(shares), axis=-1)
    return {
        "consistency": -ops.mean(agreement, axis=0),
        "imbalance": math.log(shapes[0][-1]) - entropy,
    }


def self_labelling_terms(
    weak, strong, *, threshold: float = 0.99, balanced: bool = True
) -> dict:
    """The cross entropy of confident images, augmented strongly, with their own labels.

    Args:
        weak: logits of the images, `(batch, clusters)`: those whose largest
            probability is above the threshold are labelled with its cluster.
        strong: logits of the same images, augmented strongly, same shape.
        threshold: float in 0..1. Defaults to 0.99.
        balanced: whether every cluster that has confident images counts alike.
            Defaults to `True`; otherwise every confident image does.

    Returns:
        A dict of scalars, float32: `"cross_entropy"`, 0 with gradient 0 where no image
        is confident, and `"confident"`, the share of images that are.

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, section 2.3.
    """
    weak, strong = (
        ops.cast(ops.convert_to_tensor(z), "float32") for z in (weak, strong)
    )
    weak = ops.stop_gradient(ops.softmax(weak, axis=1))  # (N, C)
    confident = ops.cast(ops.max(weak, axis=1) > threshold, "float32")  # (N,)
    labels = ops.one_hot(ops.argmax(weak, axis=1), weak.shape[1])  # (N, C)
    labels = labels * confident[:, None]
    counts = ops.sum(labels, axis=0)  # (C,)
    sums = -ops.sum(labels * ops.log_softmax(strong, axis=1), axis=0)  # (C,)
    if balanced:
        sums = sums / ops.maximum(counts, 1.0)
        counts = ops.minimum(counts, 1.0)  # of a cluster: present or not
    return {
        "cross_entropy": ops.sum(sums) / ops.maximum(ops.sum(counts), 1.0),
        "confident": ops.mean(confident),
    }


@keras.saving.register_keras_serializable(package="keras_vicreg")
class SCAN(JointEmbedding):
    """Clusters images without labels, on an encoder that was pretrained.

    Linear heads are trained so that an image and its neighbours fall into one cluster,
    and all clusters are equally large.

    Args:
        encoder: a pretrained encoder. With `encoder.trainable = False` the heads alone
            are trained.
        num_clusters: int. Defaults to 10.
        num_heads: int, heads that are trained side by side. Defaults to 10.
        expander: model that maps representations to the logits of all heads. Defaults
            to one Dense layer.
        consistency_weight: float. Defaults to 1.
        imbalance_weight: float, the paper's lambda. Defaults to 5.
        name: name of the model. Defaults to `"scan"`.
        **options: `views`, `microbatch_size`, and the parts that other methods have:
            see `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, https://arxiv.org/abs/2005.12320
    """

    def __init__(
        self,
        encoder,
        num_clusters: int = 10,
        *,
        num_heads: int = 10,
        expander=None,
        consistency_weight: float = 1.0,
        imbalance_weight: float = 5.0,
        name: str = "scan",
        **options,
    ):
        check_integers(
            {"num_clusters": num_clusters, "num_heads": num_heads},
            least={"num_clusters": 2, "num_heads": 1},
        )
        super().__init__(
            encoder,
            expander,
            term_weights={
                "consistency": consistency_weight,
                "imbalance": imbalance_weight,
            },
            options={"num_clusters": num_clusters, "num_heads": num_heads},
            name=name,
            **options,
        )
        if self.expander.output_shape[-1] != num_clusters * num_heads:
            raise ValueError(
                "`expander` must give `num_heads` times `num_clusters` logits. "
                f"Received: {self.expander.output_shape[-1]}, num_heads={num_heads}, "
                f"num_clusters={num_clusters}"
            )

    def widths(self, features: int) -> tuple:
        return (self.num_clusters * self.num_heads,)

    def logits(self, embeddings):
        """`(batch, heads * clusters)` -> `(batch, heads, clusters)`."""
        return ops.reshape(embeddings, (-1, self.num_heads, self.num_clusters))

    def loss_terms(self, a, b) -> dict:
        return scan_terms(self.logits(a), self.logits(b))
