"""Images -> views: one function per published recipe."""

import keras

from keras_vicreg.augment import (
    ColorJitter,
    RandomGaussianBlur,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomSolarize,
)
from keras_vicreg.augment.arrays import is_foreign, ops_for
from keras_vicreg.augment.layer import to_images, to_pixels
from keras_vicreg.augment.randomness import RandomLayer
from keras_vicreg.xla import compiled


def pipeline(
    size, *, scale=(0.08, 1.0), jitter=(0.4, 0.4, 0.2, 0.1), blur=0.0, solarize=0.0
):
    """The steps of one view, in the order all recipes have in common."""
    steps = [
        RandomResizedCrop(size, scale=scale),
        RandomHorizontalFlip(0.5),
        ColorJitter(*jitter, probability=0.8),
        RandomGrayscale(0.2),
    ]
    if blur:
        steps.append(RandomGaussianBlur(blur, sigma=(0.1, 2.0)))
    if solarize:
        steps.append(RandomSolarize(solarize, threshold=128))
    return steps


def vicreg(size):
    """VICReg on ImageNet, the authors' augmentations.py: asymmetric."""
    return pipeline(size, blur=1.0), pipeline(size, blur=0.1, solarize=0.2)


def vicreg_cifar(size):
    """VICReg on CIFAR, as solo-learn has it."""
    return (pipeline(size, scale=(0.2, 1.0), solarize=0.1),) * 2


def simclr(size):
    """SimCLR (Chen et al., 2020) at colour strength 1."""
    return (pipeline(size, jitter=(0.8, 0.8, 0.8, 0.2), blur=0.5),) * 2


def byol(size):
    """BYOL (Grill et al., 2020) on CIFAR: without blur, asymmetric."""
    return pipeline(size), pipeline(size, solarize=0.2)


def barlow_twins(size):
    """Barlow Twins (Zbontar et al., 2021) on CIFAR: as BYOL."""
    return byol(size)


def wmse(size):
    """W-MSE (Ermolov et al., 2021) on CIFAR."""
    return (pipeline(size, scale=(0.2, 1.0), jitter=(0.8, 0.8, 0.8, 0.2)),) * 2


RECIPES = {
    recipe.__name__: recipe
    for recipe in (vicreg, vicreg_cifar, simclr, byol, barlow_twins, wmse)
}


@keras.saving.register_keras_serializable(package="keras_vicreg")
class TwoViews(RandomLayer):
    """Makes two random views of every image.

    Every image and every view draws its own crop, flip, colours, blur and the rest.
    The layer runs on every backend: eagerly, inside a model, compiled, and within a
    `tf.data` pipeline, on batches or on single images.

    Args:
        image_size: int, the height and width of the views in pixels, or a pair
            `(height, width)`.
        recipe: the published pipeline, one of `"vicreg"` (the authors' asymmetric
            one), `"vicreg_cifar"`, `"simclr"`, `"byol"`, `"barlow_twins"`,
            `"wmse"`. Defaults to `"vicreg"`.
        seed: optional int. Equal seeds give equal views. Defaults to `None`, a
            random seed.
        **kwargs: see `keras.layers.Layer`.

    Returns:
        Two float32 tensors `(batch, height, width, channels)`, 0..255.

    Example:

    >>> images = np.random.randint(0, 256, (8, 48, 64, 3), "uint8")
    >>> a, b = kv.TwoViews(32, recipe="vicreg", seed=0)(images)
    >>> a.shape, b.shape
    ((8, 32, 32, 3), (8, 32, 32, 3))
    """

    def __init__(self, image_size, recipe: str = "vicreg", seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        if recipe not in RECIPES:
            raise ValueError(
                f"`recipe` must be one of {sorted(RECIPES)}. Received: recipe={recipe!r}"
            )
        self.image_size = image_size
        self.recipe = recipe
        self.pipelines = RECIPES[recipe](image_size)
        self.compiled_views = compiled(self.views)

    def views(self, images, numbers):
        """The views that uniform numbers stand for: pure, and compiled as a whole."""
        pixels = to_pixels(images)
        shape = ops_for(images).shape(images)[1:3]
        views, start = [], 0
        for steps in self.pipelines:
            view, view_shape = pixels, shape
            for step in steps:
                own = numbers[:, start : start + step.numbers]
                view = step.transform(view, step.parameters(own, view_shape))
                view_shape = steps[0].size
                start += step.numbers
            views.append(to_images(view))
        return tuple(views)

    def call(self, images):
        ops = ops_for(images)
        if len(images.shape) == 3:
            return tuple(view[0] for view in self.call(ops.expand_dims(images, 0)))
        count = sum(step.numbers for steps in self.pipelines for step in steps)
        numbers = self.uniform(ops.shape(images)[0], count, like=images)
        make = self.views if is_foreign(images) else self.compiled_views
        return make(images, numbers)

    def compute_output_shape(self, input_shape):
        size = self.pipelines[0][0].size
        return ((*input_shape[:-3], *size, input_shape[-1]),) * 2

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "recipe": self.recipe,
        }
