"""RandomGaussianBlur."""

import math

import keras

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import Augmentation, check_probability, check_range
from keras_vicreg.augment.resampling import along_axes, product

# Beyond six standard deviations a Gaussian weighs less than float32 resolves.
REACH = 6


@keras.saving.register_keras_serializable(package="keras_vicreg")
class RandomGaussianBlur(Augmentation):
    """Blurs images with a Gaussian of random width.

    The kernel is the true Gaussian at whole pixels, normalised, the border being
    continued with its own pixels: what `PIL.ImageFilter.GaussianBlur` approximates
    with three box filters.

    Args:
        probability: float, the chance that an image is blurred. Defaults to `1.0`.
        sigma: pair of positive floats, the least and the largest standard deviation
            in pixels, of which each image draws its own. Defaults to `(0.1, 2.0)`.
        seed: optional int.
        **kwargs: see `keras.layers.Layer`.

    Parameters of `draw` and `apply`: `sigma`, float32 `(batch,)` in pixels, 0 where
    the image is not blurred.

    Example:

    >>> images = np.random.randint(0, 256, (8, 32, 32, 3), "uint8")
    >>> kv.augment.RandomGaussianBlur(sigma=(0.5, 1.0))(images).shape
    (8, 32, 32, 3)
    """

    numbers = 2

    def __init__(self, probability: float = 1.0, sigma=(0.1, 2.0), seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        check_probability(probability)
        check_range("sigma", sigma, 1e-3)
        self.probability = probability
        self.sigma = tuple(sigma)

    def parameters(self, numbers, image_shape):
        ops = ops_for(numbers)
        low, high = self.sigma
        sigma = low + (high - low) * numbers[:, 1]
        return {"sigma": ops.where(numbers[:, 0] < self.probability, sigma, 0.0)}

    def transform(self, pixels, parameters):
        ops = ops_for(pixels)
        sigma = parameters["sigma"]
        _, height, _, width = ops.shape(pixels)
        reach = math.ceil(REACH * self.sigma[1])

        def blur():
            rows = gaussian_matrix(sigma, height, reach)
            square = isinstance(height, int) and height == width
            columns = rows if square else gaussian_matrix(sigma, width, reach)
            return along_axes(pixels, columns, rows, reach)

        if pixels.shape[0] == 1:  # a single image can go without the work
            return ops.cond(sigma[0] > 0.0, blur, lambda: pixels)
        return blur()

    def get_config(self):
        return {
            **super().get_config(),
            "probability": self.probability,
            "sigma": self.sigma,
        }


def gaussian_matrix(sigma, size, reach: int):
    """The matrix that blurs one axis.

    Args:
        sigma: float32 tensor `(batch,)`, the standard deviations; 0 gives the
            identity.
        size: int or scalar tensor, the length of the axis.
        reach: int, the distance in pixels from which on the kernel is zero.

    Returns:
        float32 tensor `(batch, size, size)`; each column sums to 1.
    """
    ops = ops_for(sigma)
    narrowness = 0.5 / ops.square(ops.maximum(sigma, 1e-3))[:, None]
    distances = ops.arange(reach + 1, dtype="float32")
    kernel = ops.exp(-ops.square(distances) * narrowness)  # (batch, reach + 1)
    total = 2.0 * ops.sum(kernel, axis=1) - kernel[:, 0]
    pixels = ops.arange(size, dtype="float32")
    # Each border pixel also stands for its copies outside: the kernel's tail.
    beyond = ops.cast(distances[:, None] > pixels[None, :], "float32")
    tail = product(kernel, beyond)  # (batch, size)
    first = ops.cast(pixels == 0, "float32")
    last = ops.flip(first, axis=0)
    apart = ops.square(pixels[:, None] - pixels[None, :])
    weights = (
        ops.exp(-apart * narrowness[:, :, None])
        + first[:, None] * tail[:, None, :]
        + last[:, None] * ops.flip(tail, axis=1)[:, None, :]
    )
    return weights / total[:, None, None]
