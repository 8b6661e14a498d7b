"""VICReg's variance and covariance terms, which any method may add to its own."""

from keras import ops

from keras_vicreg.methods.embeddings import matmul

EPSILON = 1e-4  # inside the square root, equation 2


def variance_covariance(*views, hinge_factor: float = 0.5, correction: int = 1) -> dict:
    """What keeps the embeddings of a batch from collapsing, summed over views.

    With N samples of D dimensions, centred embeddings Z and C = Z^T Z / (N - 1): the
    variance term is the mean of max(0, 1 - std) over dimensions (equation 1), the
    covariance term the sum of squared off-diagonal entries of C over D (equation 4).

    Args:
        *views: embeddings of one view each, `(batch, features)`, float32.
        hinge_factor: of the hinge. Defaults to 0.5, the authors' code.
        correction: what is subtracted from N in the variance of the hinge. Defaults
            to 1.

    Returns:
        A dict of scalars, `"variance"` and `"covariance"`.

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, section 4.1; its section 5 adds
        the terms to other methods.
    """
    variance = covariance = 0.0
    for z in views:
        z = z - ops.mean(z, axis=0)  # (N, D)
        squares = ops.sum(ops.square(z), axis=0)  # (D,)
        samples = ops.cast(ops.shape(z)[0], "float32")
        std = ops.sqrt(squares / (samples - correction) + EPSILON)
        variance += hinge_factor * ops.mean(ops.relu(1.0 - std))
        products = _off_diagonal_squares(z, squares)
        covariance += products / (samples - 1) ** 2 / z.shape[1]
    return {"variance": variance, "covariance": covariance}


def _off_diagonal_squares(z, squares):
    """Sum of the squared off-diagonal entries of Z^T Z, on its smaller side.

    ||Z^T Z||_F = ||Z Z^T||_F, so for N < D the (N, N) product gives the sum over all
    entries, from which the diagonal, `squares`, is taken away.
    """

    def by_samples():
        product = matmul(z, ops.transpose(z))  # (N, N)
        return ops.sum(ops.square(product)) - ops.sum(ops.square(squares))

    def by_features():
        product = matmul(ops.transpose(z), z)  # (D, D)
        return ops.sum(ops.square(product * (1.0 - ops.eye(features))))

    samples, features = z.shape
    if samples is None:  # a TensorFlow graph for batches of any size
        return ops.cond(ops.shape(z)[0] < features, by_samples, by_features)
    return by_samples() if samples < features else by_features()
