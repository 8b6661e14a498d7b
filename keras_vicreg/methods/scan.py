"""SCAN: semantic clustering by adopting nearest neighbours.

Van Gansbeke, Vandenhende, Georgoulis, Proesmans, Van Gool, "SCAN: Learning to Classify
Images without Labels", ECCV 2020, https://arxiv.org/abs/2005.12320
"""

import math

import keras
import numpy as np
from keras import ops

from keras_vicreg.data.batches import fresh_seed
from keras_vicreg.data.image_checks import check_views
from keras_vicreg.data.in_memory import as_views
from keras_vicreg.data.neighbour_batches import NeighbourBatches, check_neighbours
from keras_vicreg.evaluation.features import embed
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


def head_scores(logits, neighbours) -> np.ndarray:
    """How well each head clusters images with their neighbours, without labels.

    Consistency minus entropy, each counted once, over all images and all of their
    neighbours, an image among its own. The lowest is the best.

    Args:
        logits: array `(images, heads, clusters)`.
        neighbours: int array `(images, k)`.

    Returns:
        float64 array `(heads,)`.

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, the authors' code: the model of the
        lowest loss is kept.
    """
    logits = np.asarray(logits, "float64")
    logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    own = np.arange(len(logs))[:, None]
    agreement = [
        np.logaddexp.reduce(logs + logs[column], axis=-1)  # (images, heads)
        for column in np.hstack([own, neighbours]).T
    ]
    shares = np.maximum(np.exp(logs).mean(axis=0), LEAST)  # (heads, clusters)
    entropy = -(shares * np.log(shares)).sum(axis=-1)
    return -np.mean(agreement, axis=(0, 1)) - entropy


class Clusters:
    """Clusters of images, of a model whose embeddings are logits of its heads."""

    def predict_clusters(self, images, *, batch_size: int = 256) -> tuple:
        """The cluster of each image, by the best head.

        Args:
            images: array `(n, height, width, channels)`, 0..255, or what else
                `kv.embed` takes.
            batch_size: int, images to encode at once. Defaults to 256.

        Returns:
            `(clusters, probabilities)`: int array `(n,)`, and float array
            `(n, clusters)`.
        """
        logits = self.head_logits(images, batch_size=batch_size)
        logits = logits[:, int(self.best_head)].astype("float64")
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return logits.argmax(axis=1), np.exp(logits)

    def head_logits(self, images, *, batch_size: int = 256) -> np.ndarray:
        """Logits of all heads, `(n, heads, clusters)`, without augmentation."""
        features = embed(self.encoder, images, batch_size=batch_size)
        logits = self.expander.predict(features, batch_size=batch_size, verbose=0)
        return np.asarray(self.logits(ops.cast(logits, "float32")))


@keras.saving.register_keras_serializable(package="keras_vicreg")
class SCAN(Clusters, JointEmbedding):
    """Clusters images without labels, on an encoder that was pretrained.

    Linear heads are trained so that an image and its neighbours fall into one cluster,
    and all clusters are equally large. Pairs `x=(a, b)` are images and a neighbour of
    each; `fit` makes them of images and the table of `kv.mine_neighbours`. With
    `views`, the first view of an image is trained with the second of its neighbour.

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

    Attributes:
        best_head: int variable, the head of `predict_clusters`, chosen without labels
            at the end of a `fit` with neighbours; until then the first.

    Example:

    >>> images = kv.load_images("sample", 32)
    >>> encoder = kv.from_preset("vicreg_resnet18_cifar10")
    >>> neighbours = kv.mine_neighbours(kv.embed(encoder, images))
    >>> encoder.trainable = False
    >>> model = kv.SCAN(encoder, num_clusters=10)
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> model.fit(images, neighbours=neighbours, epochs=5)
    >>> clusters, probabilities = model.predict_clusters(images)

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
        self.best_head = self.add_weight(
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            name="best_head",
        )

    def widths(self, features: int) -> tuple:
        return (self.num_clusters * self.num_heads,)

    def logits(self, embeddings):
        """`(batch, heads * clusters)` -> `(batch, heads, clusters)`."""
        return ops.reshape(embeddings, (-1, self.num_heads, self.num_clusters))

    def loss_terms(self, a, b) -> dict:
        return scan_terms(self.logits(a), self.logits(b))

    def to_views(self, data):
        (views,) = super().to_views(data)
        x = keras.utils.unpack_x_y_sample_weight(data)[0]
        if self.views is None or not isinstance(x, (list, tuple)):
            return (views,)
        return ((self.views(views[0])[0], self.views(views[1])[1]),)

    def fit(self, x=None, y=None, batch_size=None, *, neighbours=None, **kwargs):
        """Trains the heads, and the encoder unless it is frozen.

        Args:
            x: images with `neighbours`; else what every method takes: pairs of images
                and a neighbour, or images of which views are made.
            y: ignored: labels play no part.
            batch_size: int, for arrays. Defaults to 256.
            neighbours: int array `(images, k)`, see `kv.mine_neighbours`. One is drawn
                for each image and epoch, and at the end the best head is chosen.
                Defaults to `None`.
            **kwargs: as in `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: if `neighbours` are no rows of the images.
        """
        if neighbours is None:
            return super().fit(x, y, batch_size, **kwargs)
        (images,) = as_views(x)
        check_views((images,), self.encoder.inputs[0].shape[-1])
        batch_size = 256 if batch_size is None else batch_size
        batches = NeighbourBatches(images, neighbours, batch_size, seed=fresh_seed())
        history = super().fit(batches, **kwargs)
        self.choose_head(images, batches.neighbours)
        return history

    def choose_head(self, images, neighbours) -> np.ndarray:
        """Makes the head of the lowest score the best one.

        Args:
            images: array `(n, height, width, channels)`, 0..255.
            neighbours: int array `(n, k)`.

        Returns:
            The scores, float64 `(heads,)`, see `head_scores`.
        """
        neighbours = check_neighbours(neighbours, len(images))
        scores = head_scores(self.head_logits(images), neighbours)
        self.best_head.assign(int(scores.argmin()))
        return scores
