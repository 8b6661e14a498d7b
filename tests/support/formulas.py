"""Formulas in float32 on any backend, beside the same in NumPy float64."""

import numpy as np
import pytest
from gradients import value_and_gradients


def views(samples=16, features=8):
    """Two views, two predictions of them, and a queue: `(z1, z2, p1, p2, queue)`."""
    r = np.random.default_rng(7)
    shape = (samples, features)
    z1 = r.standard_normal(shape)
    z2 = z1 + 0.5 * r.standard_normal(shape)
    p1 = z1 + 0.5 * r.standard_normal(shape)
    p2 = z2 + 0.5 * r.standard_normal(shape)
    return z1, z2, p1, p2, r.standard_normal((32, features))


def unit(x, axis=-1):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def logsumexp(x, axis=-1):
    top = x.max(axis=axis, keepdims=True)
    return (top + np.log(np.exp(x - top).sum(axis=axis, keepdims=True))).squeeze(axis)


def log_softmax(x):
    return x - logsumexp(x)[..., None]


def float32(*arrays):
    return [np.asarray(array, "float32") for array in arrays]


def numerical_gradients(function, *arrays, step=1e-5):
    """Central differences of a scalar function of float64 arrays."""
    gradients = []
    for array in arrays:
        gradient = np.empty_like(array)
        for index in np.ndindex(array.shape):
            kept, values = array[index], []
            for moved in (kept + step, kept - step):
                array[index] = moved
                values.append(function(*arrays))
            array[index] = kept
            gradient[index] = (values[0] - values[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


def check(ours, reference, *arrays, golden=None, norms=None, tolerance=1e-5):
    """Fails unless value and gradients agree, relative to the largest entry.

    Args:
        ours: scalar function of tensors.
        reference: the same of float64 arrays.
        *arrays: float64, what both are functions of.
        golden: the value, published to 12 digits.
        norms: those of the gradients, one an array.
        tolerance: relative, of value and gradients.
    """
    arrays = [array.copy() for array in arrays]
    expected = reference(*arrays)
    if golden is not None:
        assert expected == pytest.approx(golden, rel=1e-11, abs=1e-14)
    value, gradients = value_and_gradients(ours, *float32(*arrays))
    assert value == pytest.approx(expected, rel=tolerance, abs=1e-7)
    wanted = numerical_gradients(reference, *arrays)
    largest = max(np.abs(gradient).max() for gradient in wanted)
    for gradient, other in zip(gradients, wanted, strict=True):
        assert np.abs(gradient - other).max() <= tolerance * largest
    for gradient, norm in zip(gradients, norms or ()):
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=tolerance)
