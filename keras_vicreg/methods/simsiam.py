"""SimSiam: simple Siamese networks.

Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021,
https://arxiv.org/abs/2011.10566
"""

from keras_vicreg.methods.embeddings import mean_cosine


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
