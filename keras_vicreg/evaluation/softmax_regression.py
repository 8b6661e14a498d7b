"""Multinomial logistic regression by L-BFGS, preconditioned."""

import numpy as np

SMALL = 2**22


def principal_axes(train: np.ndarray, test: np.ndarray):
    """Standardises features by those of `train` and turns them to its principal axes.

    The regression's solution turns with them, and its Hessian becomes nearly diagonal.
    There are at most as many axes as images: no weight lies outside their span.

    Args:
        train: array `(n, features)`.
        test: array `(m, features)`.

    Returns:
        Arrays `(n, axes)` and `(m, axes)`, float64.
    """
    mean, deviation = train.mean(axis=0, dtype="float64"), train.std(axis=0)
    scale = 1 / np.where(deviation > 1e-6 * deviation.max(), deviation, np.inf)
    train, test = (train - mean) * scale, (test - mean) * scale
    wide = train.shape[0] < train.shape[1]
    values, vectors = np.linalg.eigh(train @ train.T if wide else train.T @ train)
    kept = values > 1e-10 * max(values[-1], 1e-300)
    axes = vectors[:, kept]
    if wide:
        axes = train.T @ (axes / np.sqrt(values[kept]))
    return train @ axes, test @ axes


def fit_softmax(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    regularization: float,
    start: np.ndarray | None = None,
    tolerance: float = 1e-5,
) -> np.ndarray:
    """Minimises the mean cross-entropy + regularization / 2 * ||weights||^2.

    It is scikit-learn's `LogisticRegression(C=1 / (regularization * n))`, with a bias
    that is not penalised. L-BFGS runs in coordinates in which the diagonal of an upper
    bound of the Hessian is 1: on principal axes it takes tens of steps where it takes
    hundreds on the features as they come.

    Args:
        features: array `(n, features)`, float64, best those of `principal_axes`.
        labels: array `(n,)`, integers in 0..classes-1.
        classes: int.
        regularization: float, greater than 0.
        start: weights to start from, such as those of a neighbouring regularization.
        tolerance: float, largest slope at the end. Defaults to 1e-5, at which the
            predictions no longer change.

    Returns:
        Weights `(features + 1, classes)`, float64; the last row is the bias.

    Reference:
        Böhning, "Multinomial logistic regression algorithm", 1992: the bound.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    count, rows = len(features), np.arange(len(features))
    inputs = _with_bias(features)
    penalty = np.full((inputs.shape[1], 1), regularization)
    penalty[-1] = 0
    bound = 0.5 * (1 - 1 / classes) * np.square(inputs).mean(axis=0)[:, None] + penalty
    step = 1 / np.sqrt(bound)  # (features + 1, 1)

    def objective(flat):
        weights = step * flat.reshape(-1, classes)
        values = inputs @ weights
        values -= values.max(axis=1, keepdims=True)
        probabilities = np.exp(values)
        totals = probabilities.sum(axis=1, keepdims=True)
        loss = (np.log(totals[:, 0]) - values[rows, labels]).mean()
        loss += 0.5 * (penalty * np.square(weights)).sum()
        probabilities /= totals
        probabilities[rows, labels] -= 1
        slope = inputs.T @ probabilities / count + penalty * weights
        return loss, (step * slope).ravel()

    first = np.zeros((inputs.shape[1], classes)) if start is None else start / step
    options = {"maxiter": 500, "maxcor": 20, "gtol": tolerance, "ftol": 1e-10}
    # In small products threads wait for one another longer than they compute.
    with threadpool_limits(1 if inputs.size < SMALL else None):
        found = minimize(
            objective, first.ravel(), jac=True, method="L-BFGS-B", options=options
        )
    return step * found.x.reshape(-1, classes)


def logits(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Logits `(n, classes)` of the model that `fit_softmax` found."""
    return _with_bias(features) @ weights


def _with_bias(features):
    return np.hstack([features, np.ones((len(features), 1))])
