"""MoCo v2+: momentum contrast, with an MLP head and the loss taken both ways round.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation
Learning", CVPR 2020, https://arxiv.org/abs/1911.05722; Chen, Fan, Girshick, He,
"Improved Baselines with Momentum Contrastive Learning", 2020,
https://arxiv.org/abs/2003.04297; the symmetric loss is that of Chen, He, "Exploring
Simple Siamese Representation Learning", CVPR 2021, https://arxiv.org/abs/2011.10566
"""

import math
from typing import ClassVar

import keras
from keras import ops

from keras_vicreg.methods.embeddings import (
    check_convention,
    check_positive,
    checked_pair,
    cosines,
    matmul,
    unit,
)
from keras_vicreg.methods.joint_embedding import JointEmbedding
from keras_vicreg.methods.memory import EmbeddingQueue

# What the published implementations differ in: which views ask (the key is the other
# one's), and a factor of the mean over them.
CONVENTIONS = {
    # the improved reproduction, as in solo-learn: the mean of both ways round
    "v2+": {"asking": (0, 1), "factor": 1.0},
    # the authors' notebook for CIFAR: the sum of both
    "notebook": {"asking": (0, 1), "factor": 2.0},
    # the authors' code for ImageNet: the first view asks
    "v2": {"asking": (0,), "factor": 1.0},
}


def moco_terms(
    queries,
    keys,
    queues,
    *,
    temperature: float = 0.2,
    convention: str = "v2+",
    stop_gradient: bool = True,
) -> dict:
    """The cross entropy of finding each query's key among those of earlier steps.

    Everything is compared by cosines over the temperature. The key of a query is that
    of the other view of its image; the negatives are the queue of that other view.

    Args:
        queries: pair of embeddings, one a view, `(batch, features)` each.
        keys: pair of those of the momentum copy, of the same images, same shapes.
        queues: keys of earlier steps, `(2, size, features)`, one queue a view, or
            `(size, features)`, one for both.
        temperature: float. Defaults to 0.2.
        convention: `"v2+"` (the mean of both ways round), `"notebook"` (their sum) or
            `"v2"` (the first view's queries alone). Defaults to `"v2+"`.
        stop_gradient: whether keys are constants for the gradient. Defaults to
            `True`. The queues always are.

    Returns:
        A dict of one scalar, float32: `"contrastive"`.

    Raises:
        ValueError: if the shapes do not fit, the temperature is not positive, or the
            convention is unknown.

    Reference:
        He et al., "Momentum Contrast", CVPR 2020, section 3.1.
    """
    queues = ops.cast(ops.convert_to_tensor(queues), "float32")
    queues = ops.stop_gradient(unit(queues if len(queues.shape) == 3 else queues[None]))
    if stop_gradient:
        keys = [ops.stop_gradient(ops.convert_to_tensor(key)) for key in keys]
    return contrast(queries, keys, queues, temperature, convention)


def contrast(queries, keys, queues, temperature: float, convention: str) -> dict:
    """`moco_terms` of queues of unit rows, `(1 or 2, size, features)`."""
    rule = CONVENTIONS[check_convention(convention, CONVENTIONS)]
    check_positive("temperature", temperature)
    queries, keys = checked_pair(queries, keys)
    if queues.shape[0] not in (1, 2) or queues.shape[-1] != queries[0].shape[-1]:
        raise ValueError(
            "`queues` must have the shape (2, size, features) or (size, features). "
            f"Received: {tuple(queues.shape)}, features of {queries[0].shape[-1]}"
        )
    sides = []
    for view in rule["asking"]:
        negatives = queues[min(1 - view, queues.shape[0] - 1)]  # (K, D)
        query = unit(queries[view])
        others = ops.logsumexp(
            matmul(query / temperature, ops.transpose(negatives)), axis=1
        )  # (N,)
        positive = cosines(query, keys[1 - view]) / temperature
        # log(e^positive + e^others) - positive, without a concatenation of both
        sides.append(ops.mean(ops.softplus(others - positive)))
    return {"contrastive": rule["factor"] * sum(sides) / len(sides)}


@keras.saving.register_keras_serializable(package="keras_vicreg")
class MoCo(JointEmbedding):
    """Pretrains an encoder with MoCo v2+: momentum contrast, both ways round.

    Each embedding has to find that which the momentum copy gives of the other view of
    its image, among those which it gave of earlier images: a queue of negatives that
    is larger than any batch. It should hold fewer images than there are, or every
    image is among its own negatives.

    Args:
        encoder: any Keras model that maps images to vectors or feature maps.
        expander: model that maps representations to embeddings. Defaults to that of
            MoCo v2: a hidden layer as wide as the representation, 128 features, no
            batch normalization.
        momentum: float, of the copy. Defaults to 0.999; 0.99 is usual for short runs.
        temperature: float. Defaults to 0.2.
        queue_size: int, the number of negatives of each view. Defaults to `None`: 4096
            for images up to 64 px, else 65536.
        contrastive_weight: float. Defaults to 1.
        convention: see `kv.moco_terms`; all but `"v2+"` have one queue. Defaults to
            `"v2+"`.
        name: name of the model. Defaults to `"moco"`.
        **options: `views`, `microbatch_size`, and the parts that other methods have:
            see `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Example:

    ```python
    model = kv.MoCo(encoder, views=kv.TwoViews(224, recipe="simclr"))
    model.compile(kv.LARS(learning_rate=0.5))
    model.fit(images, batch_size=256, epochs=10)
    ```

    Reference:
        He et al., "Momentum Contrast", CVPR 2020, https://arxiv.org/abs/1911.05722
    """

    head: ClassVar = {"batch_norm": False}
    compares_directions = True

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        momentum: float | None = 0.999,
        temperature: float = 0.2,
        queue_size: int | None = None,
        contrastive_weight: float = 1.0,
        convention: str = "v2+",
        name: str = "moco",
        **options,
    ):
        check_convention(convention, CONVENTIONS)
        check_positive("temperature", temperature)
        if queue_size is not None and (type(queue_size) is not int or queue_size < 1):
            raise ValueError(
                "`queue_size` must be a positive integer or None. "
                f"Received: queue_size={queue_size!r}"
            )
        super().__init__(
            encoder,
            expander,
            momentum=momentum,
            term_weights={"contrastive": contrastive_weight},
            options={
                "temperature": temperature,
                "queue_size": queue_size,
                "convention": convention,
            },
            name=name,
            **options,
        )
        small = (self.encoder.input_shape[1] or math.inf) <= 64
        self.queue = EmbeddingQueue(
            2 if convention == "v2+" else 1,
            queue_size or (4096 if small else 65536),
            self.expander.output_shape[-1],
            initializer=random_directions,
            name="queue",
        )

    def widths(self, features: int) -> tuple:
        return (features, 128)

    def compare(self, predictions, targets) -> dict:
        return contrast(
            predictions, targets, self.queue.rows, self.temperature, self.convention
        )

    def remember(self, targets) -> None:
        keys = [unit(target) for target in targets]
        if self.convention == "notebook":
            keys = [ops.concatenate(keys)]
        self.queue.push(keys[1:] if self.convention == "v2" else keys)


def random_directions(shape, dtype=None):
    """Unit rows, as a queue starts with."""
    return unit(keras.random.normal(shape, dtype=dtype))
