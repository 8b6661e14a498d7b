"""SwAV: swapping assignments between views.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, "Unsupervised Learning of Visual
Features by Contrasting Cluster Assignments", NeurIPS 2020,
https://arxiv.org/abs/2006.09882
"""

import keras
from keras import ops

from keras_vicreg.heads import kernel_initializer
from keras_vicreg.methods.embeddings import (
    check_convention,
    check_integers,
    check_positive,
    check_several,
    checked_embeddings,
    matmul,
    unit,
)
from keras_vicreg.methods.joint_embedding import JointEmbedding
from keras_vicreg.methods.memory import EmbeddingQueue

# What the published implementations differ in: the mean over pairs of crops, or (the
# paper's equations 2 and 6) their sum.
CONVENTIONS = {"official": "mean", "paper": "sum"}
CODED = 2  # the global crops, which come first, have codes


def swav_terms(
    views,
    prototypes,
    *,
    targets=None,
    queues=None,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    convention: str = "official",
) -> dict:
    """The cross entropy of predicting a crop's code from the other crops of its image.

    Scores are the cosines of embeddings and prototypes. The first two crops are the
    global ones: their scores become codes, assignments that use all prototypes
    equally, and no gradient flows through these.

    Args:
        views: sequence of embeddings, `(batch, features)` each, at least two.
        prototypes: unit rows, `(prototypes, features)`.
        targets: embeddings of the same views, of which at least the first two have
            codes. Defaults to `None`, `views`.
        queues: unit embeddings of earlier steps, `(2, size, features)`, a queue for
            each global crop, which are assigned together with the batch. Zeros in the
            last row say that they are not full yet, and they are left out. Defaults to
            `None`.
        temperature: float, of the predictions. Defaults to 0.1.
        epsilon: float, of the codes: the smaller, the harder. Defaults to 0.05.
        iterations: int, of the Sinkhorn-Knopp algorithm. Defaults to 3.
        convention: `"official"`, the mean over pairs of crops, or `"paper"`, their
            sum. Defaults to `"official"`.

    Returns:
        A dict of one scalar, float32: `"swapped_prediction"`.

    Raises:
        ValueError: if the shapes do not fit, an option is out of its range, or the
            convention is unknown.

    Reference:
        Caron et al., "SwAV", NeurIPS 2020, section 3.
    """
    reduction = CONVENTIONS[check_convention(convention, CONVENTIONS)]
    check_positive("temperature", temperature)
    own = targets is None or targets is views
    views = checked_embeddings(*views)
    check_several(views)
    prototypes = ops.transpose(ops.cast(ops.convert_to_tensor(prototypes), "float32"))
    scores = coded = [matmul(unit(z), prototypes) for z in views]  # (N, K) each
    if not own:
        coded = [matmul(unit(z), prototypes) for z in checked_embeddings(*targets)]
    logs = [ops.log_softmax(score / temperature, axis=1) for score in scores]
    losses = []
    for crop in range(CODED):
        earlier = None
        if queues is not None:
            earlier = matmul(queues[crop], prototypes), queues[crop][-1]
        code = _code(ops.stop_gradient(coded[crop]), earlier, epsilon, iterations)
        losses += [
            -ops.mean(ops.sum(code * log, axis=1))
            for other, log in enumerate(logs)
            if other != crop
        ]
    total = sum(losses)
    return {"swapped_prediction": total if reduction == "sum" else total / len(losses)}


def _code(scores, earlier, epsilon: float, iterations: int):
    """Assignments of a batch, `(batch, prototypes)`, among those of a full queue."""
    if earlier is None:
        return sinkhorn(scores, epsilon, iterations)
    queue_scores, last_row = earlier
    both = ops.concatenate([ops.stop_gradient(queue_scores), scores])
    return ops.cond(
        ops.any(last_row != 0),
        lambda: sinkhorn(both, epsilon, iterations)[-ops.shape(scores)[0] :],
        lambda: sinkhorn(scores, epsilon, iterations),
    )


def sinkhorn(scores, epsilon: float = 0.05, iterations: int = 3):
    """Soft assignments that spread the samples evenly over the prototypes.

    The Sinkhorn-Knopp algorithm in the log domain, where e^(score / epsilon), which
    reaches e^20, overflows nowhere.

    Args:
        scores: cosines, `(batch, prototypes)`.
        epsilon: float, the smaller, the harder the assignments.
        iterations: int. Rows sum to 1 after each; how far the prototypes' sums are
            equal depends on how many there are.

    Returns:
        `(batch, prototypes)`, float32, constants for the gradient.
    """
    check_positive("epsilon", epsilon)
    scores = ops.cast(ops.convert_to_tensor(scores), "float32")
    logs = ops.stop_gradient(scores) / epsilon
    for _ in range(iterations):
        logs = logs - ops.logsumexp(logs, axis=0, keepdims=True)
        logs = logs - ops.logsumexp(logs, axis=1, keepdims=True)
    return ops.exp(logs)


@keras.saving.register_keras_serializable(package="keras_vicreg")
class SwAV(JointEmbedding):
    """Pretrains an encoder with SwAV.

    Crops are assigned to prototypes, which are learned, and the assignment of one is
    predicted from another. The first two crops are global; any number of smaller ones
    may follow, as those of `kv.TwoViews(224, local_views=6)`, for an encoder that
    takes images of other sizes. Crops of a size pass the network as one batch.

    Args:
        encoder: any Keras model that maps images to vectors or feature maps.
        expander: model that maps representations to embeddings. Defaults to the
            paper's, 2048-128.
        prototypes: int, about ten times the classes one expects. Defaults to 3000,
            the paper's for ImageNet.
        temperature: float, of predictions. Defaults to 0.1.
        epsilon: float, of assignments. Defaults to 0.05.
        iterations: int, of the Sinkhorn-Knopp algorithm. Defaults to 3.
        frozen_steps: int, steps before the prototypes move, about one epoch. Defaults
            to 313, the paper's.
        queue_size: int, the embeddings of earlier steps that are assigned together
            with a small batch, for each global crop. Defaults to 0; the paper has 3840
            at a batch of 256.
        queue_start: int, steps before the queue is filled. Defaults to 0; the paper
            has 15 epochs.
        swapped_prediction_weight: float. Defaults to 1.
        convention: see `kv.swav_terms`. Defaults to `"official"`.
        name: name of the model. Defaults to `"swav"`.
        **options: `views`, `microbatch_size`, and the parts that other methods have:
            see `keras_vicreg.methods.joint_embedding.JointEmbedding`.

    Example:

    ```python
    model = kv.SwAV(encoder, views=kv.TwoViews(224, recipe="simclr"))
    model.compile(kv.LARS(learning_rate=0.5))
    model.fit(images, batch_size=256, epochs=10)
    ```

    Reference:
        Caron et al., "SwAV", NeurIPS 2020, https://arxiv.org/abs/2006.09882
    """

    views_taken = (2, None)
    sizes_taken = None
    joint_statistics = True
    compares_directions = True

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        frozen_steps: int = 313,
        queue_size: int = 0,
        queue_start: int = 0,
        swapped_prediction_weight: float = 1.0,
        convention: str = "official",
        name: str = "swav",
        **options,
    ):
        check_convention(convention, CONVENTIONS)
        check_positive("temperature", temperature)
        check_positive("epsilon", epsilon)
        whole = {
            "prototypes": prototypes,
            "iterations": iterations,
            "frozen_steps": frozen_steps,
            "queue_size": queue_size,
            "queue_start": queue_start,
        }
        check_integers(whole, least={"prototypes": 2, "iterations": 1})
        super().__init__(
            encoder,
            expander,
            term_weights={"swapped_prediction": swapped_prediction_weight},
            options={
                **whole,
                "temperature": temperature,
                "epsilon": epsilon,
                "convention": convention,
            },
            name=name,
            **options,
        )
        self._add_memory(prototypes, queue_size)

    def _add_memory(self, prototypes: int, queue_size: int) -> None:
        features = self.expander.output_shape[-1]
        start = kernel_initializer()
        self.centres = self.add_weight(
            shape=(prototypes, features),
            initializer=lambda shape, dtype=None: unit(start(shape, dtype=dtype)),
            autocast=False,
            name="prototypes",
        )
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )
        self.queue = None
        if queue_size:
            self.queue = EmbeddingQueue(CODED, queue_size, features, name="queue")

    def widths(self, features: int) -> tuple:
        return (2048, 128)

    def compare(self, predictions, targets) -> dict:
        centres = ops.convert_to_tensor(self.centres)
        frozen = self.step.value < self.frozen_steps
        return swav_terms(
            predictions,
            ops.where(frozen, ops.stop_gradient(centres), centres),
            targets=targets,
            queues=None if self.queue is None else self.queue.rows,
            temperature=self.temperature,
            epsilon=self.epsilon,
            iterations=self.iterations,
            convention=self.convention,
        )

    def remember(self, targets) -> None:
        if self.queue is None:
            return
        started = ops.cast(self.step.value >= self.queue_start, "float32")
        self.queue.push([started * unit(target) for target in targets[:CODED]])

    def after_step(self) -> None:
        super().after_step()
        self.centres.assign(unit(self.centres.value))
        self.step.assign(self.step.value + 1)
