"""The steps of one view, as pure functions of pixels and uniform numbers."""

from keras_vicreg.augment import (
    ColorJitter,
    RandomGaussianBlur,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomSolarize,
)
from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import to_images
from keras_vicreg.views.recipes import ViewRecipe


class ViewPipeline:
    """A crop and what follows it.

    Nothing here is random or has a state: an image and `numbers` uniform numbers
    give a view. Crop and rest are apart, since a CPU crops image files in another
    way than a device crops a batch.

    Args:
        size: int or pair of ints, height and width of the view.
        recipe: a `ViewRecipe`.
    """

    def __init__(self, size, recipe: ViewRecipe):
        # With a seed that is not used: to find one, Keras would draw from Python's
        # random numbers, and what is drawn next would hang on what was cached.
        unused = {"seed": 0}
        self.crop = RandomResizedCrop(size, scale=recipe.scale, **unused)
        self.steps = [
            RandomHorizontalFlip(0.5, **unused),
            ColorJitter(*recipe.jitter, probability=0.8, **unused),
            RandomGrayscale(recipe.grey, **unused),
        ]
        if recipe.blur:
            blur = RandomGaussianBlur(recipe.blur, sigma=(0.1, 2.0), **unused)
            self.steps.append(blur)
        if recipe.solarize:
            solarize = RandomSolarize(recipe.solarize, threshold=128, **unused)
            self.steps.append(solarize)
        self.numbers = self.crop.numbers + sum(step.numbers for step in self.steps)

    def box(self, numbers, image_shape):
        """The parameters of the crop, see `RandomResizedCrop`.

        Args:
            numbers: tensor `(batch, self.numbers)`, uniform in 0..1.
            image_shape: `(height, width)` of the images, ints or scalar tensors.
        """
        return self.crop.parameters(numbers[:, : self.crop.numbers], image_shape)

    def view(self, pixels, numbers):
        """The view of an image.

        Args:
            pixels: float32 tensor `(batch, height, channels, width)`, 0..255.
            numbers: tensor `(batch, self.numbers)`, uniform in 0..1.

        Returns:
            float32 tensor `(batch, new_height, new_width, channels)`, 0..255.
        """
        _, height, _, width = ops_for(pixels).shape(pixels)
        pixels = self.crop.transform(pixels, self.box(numbers, (height, width)))
        return self.view_of_crop(pixels, numbers)

    def view_of_crop(self, pixels, numbers):
        """The view of an image that is cropped already, likewise."""
        start = self.crop.numbers
        for step in self.steps:
            own = numbers[:, start : start + step.numbers]
            pixels = step.transform(pixels, step.parameters(own, self.crop.size))
            start += step.numbers
        return to_images(pixels)
