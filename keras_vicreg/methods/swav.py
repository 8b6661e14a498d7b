"""SwAV: swapping assignments between views.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, "Unsupervised Learning of Visual
Features by Contrasting Cluster Assignments", NeurIPS 2020,
https://arxiv.org/abs/2006.09882
"""

from keras import ops

from keras_vicreg.methods.embeddings import (
    check_convention,
    check_positive,
    check_several,
    checked_embeddings,
    unit,
)

# What the published implementations differ in: the mean over pairs of crops, or (the
# paper's equations 2 and 6) their sum.
CONVENTIONS = {"official": "mean", "paper": "sum"}
CODED = 2  # the global crops, which come first, have codes


def swav_terms(
    views,
    prototypes,
    *,
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
    views = checked_embeddings(*views)
    check_several(views)
    prototypes = ops.transpose(ops.cast(ops.convert_to_tensor(prototypes), "float32"))
    scores = [ops.matmul(unit(z), prototypes) for z in views]  # (N, K) each
    logs = [ops.log_softmax(score / temperature, axis=1) for score in scores]
    losses = []
    for crop in range(CODED):
        earlier = None
        if queues is not None:
            earlier = ops.matmul(queues[crop], prototypes), queues[crop][-1]
        code = _code(ops.stop_gradient(scores[crop]), earlier, epsilon, iterations)
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
