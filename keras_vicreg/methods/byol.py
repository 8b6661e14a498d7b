"""BYOL: bootstrap your own latent.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning",
NeurIPS 2020, https://arxiv.org/abs/2006.07733
"""

from keras_vicreg.methods.embeddings import check_convention, mean_cosine

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
