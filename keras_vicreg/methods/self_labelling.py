"""Self-labelling: images whose cluster is certain teach their strong augmentations.

Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020,
section 2.3, https://arxiv.org/abs/2005.12320
"""

import warnings

import keras
from keras import ops

from keras_vicreg.heads import kernel_initializer
from keras_vicreg.methods.joint_embedding import JointEmbedding
from keras_vicreg.methods.scan import Clusters
from keras_vicreg.views.strong_views import StrongViews

FEW = 0.1  # of the images: with fewer that are certain, clusters tend to vanish


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
class SelfLabelling(Clusters, JointEmbedding):
    """Trains encoder and one head on the clusters that the head is certain of.

    The first view of each image is the plain one, which gives the label; the second,
    augmented strongly, is trained. Logs hold `confident`, the share of the images that
    take part.

    Args:
        encoder: an encoder.
        expander: model that maps representations to the logits of clusters.
        threshold: float in 0..1, the probability from which on a cluster is a label.
            Defaults to 0.99.
        balanced: whether all clusters count alike. Defaults to `True`.
        name: name of the model. Defaults to `"self_labelling"`.
        **options: as of every method: see
            `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, section 2.3.
    """

    best_head = 0

    def __init__(
        self,
        encoder,
        expander,
        *,
        threshold: float = 0.99,
        balanced: bool = True,
        cross_entropy_weight: float = 1.0,
        confident_weight: float = 0.0,
        name: str = "self_labelling",
        **options,
    ):
        if not 0 <= threshold < 1:
            raise ValueError(
                "`threshold` must be a number from 0 to below 1. "
                f"Received: threshold={threshold!r}"
            )
        super().__init__(
            encoder,
            expander,
            term_weights={
                "cross_entropy": cross_entropy_weight,
                "confident": confident_weight,
            },
            options={"threshold": threshold, "balanced": balanced},
            name=name,
            **options,
        )

    def logits(self, embeddings):
        """`(batch, clusters)` -> `(batch, 1, clusters)`: one head."""
        return ops.expand_dims(embeddings, 1)

    def loss_terms(self, a, b) -> dict:
        return self_labelling_terms(
            a, b, threshold=self.threshold, balanced=self.balanced
        )


def self_label(
    model,
    images,
    *,
    threshold: float = 0.99,
    epochs: int = 10,
    batch_size: int = 1000,
    learning_rate: float = 1e-4,
    views=None,
    **fit_options,
):
    """The third step of SCAN: trains on the clusters of the images that are certain.

    Encoder and best head go on from those of the model, which share their weights.

    Args:
        model: a trained `kv.SCAN`.
        images: array `(n, height, width, channels)`, 0..255.
        threshold: float in 0..1. Defaults to 0.99.
        epochs: int. Defaults to 10; the authors train 200.
        batch_size: int, at most n. Defaults to 1000.
        learning_rate: float, of Adam. Defaults to 1e-4.
        views: layer that maps images to plain ones and to strongly augmented ones.
            Defaults to `kv.StrongViews(plain=True)`.
        **fit_options: further arguments of `keras.Model.fit`.

    Returns:
        A pair: the `SelfLabelling` model, with `predict_clusters`, and the
        `keras.callbacks.History`.

    Raises:
        ValueError: if `threshold` is not from 0 to below 1, or the last layer of the
            model's expander is no `Dense`.

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, section 2.3.
    """
    _, probabilities = model.predict_clusters(images)
    certain = float((probabilities.max(axis=1) > threshold).mean())
    if certain < FEW:
        warnings.warn(
            f"{certain:.1%} of the images are in a cluster with a probability above "
            f"{threshold:g}: self-labelling learns from these alone, and from fewer "
            f"than {FEW:.0%} it tends to lose clusters.",
            stacklevel=2,
        )
    model.encoder.trainable = True
    labelling = SelfLabelling(
        model.encoder,
        best_head(model),
        threshold=threshold,
        views=StrongViews(plain=True) if views is None else views,
    )
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=1e-4)
    labelling.compile(optimizer)
    batch_size = min(batch_size, len(images))
    history = labelling.fit(images, batch_size=batch_size, epochs=epochs, **fit_options)
    return labelling, history


def best_head(model):
    """The expander of a SCAN with the logits of its best head alone."""
    *trunk, last = getattr(model.expander, "layers", [None])
    if not isinstance(last, keras.layers.Dense):
        raise ValueError(
            "The last layer of `expander` must be a Dense layer. "
            f"Received: {type(last).__name__}"
        )
    clusters, head = model.num_clusters, int(model.best_head)
    columns = slice(head * clusters, (head + 1) * clusters)
    dense = keras.layers.Dense(
        clusters, use_bias=last.use_bias, kernel_initializer=kernel_initializer()
    )
    expander = keras.Sequential([*trunk, dense], name="head")
    expander.build(model.encoder.output_shape)
    dense.set_weights([weight[..., columns] for weight in last.get_weights()])
    return expander
