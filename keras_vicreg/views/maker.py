"""All views of an image as pure, compiled functions of pixels and uniform numbers."""

import functools
import itertools

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import to_pixels
from keras_vicreg.views.compiled import Compiled
from keras_vicreg.views.pipeline import ViewPipeline
from keras_vicreg.views.recipes import views_of


@functools.cache
def view_maker(recipe: str, size, local_views: int = 0, local_size=None):
    """The `ViewMaker` of a configuration, the same one for all layers that have it.

    Compiling takes XLA seconds.

    Args:
        recipe: a key of `RECIPES`.
        size: pair of ints, height and width of the two views.
        local_views: int, how many local views follow them.
        local_size: pair of ints, the size of those.
    """
    return ViewMaker(views_of(recipe, size, local_views, local_size))


class ViewMaker:
    """Images and uniform numbers -> views.

    Args:
        views: the `(size, ViewRecipe)` of every view.
    """

    def __init__(self, views):
        self.pipelines = [ViewPipeline(size, recipe) for size, recipe in views]
        self.numbers = sum(pipeline.numbers for pipeline in self.pipelines)
        self.of_images = Compiled(self._of_images)
        self.of_crops = Compiled(self._of_crops)
        self.boxes = Compiled(self._boxes)

    def _of_images(self, images, numbers):
        """The views of a batch.

        Args:
            images: tensor `(batch, height, width, channels)`, 0..255.
            numbers: tensor `(batch, self.numbers)`, uniform in 0..1.

        Returns:
            A tuple of float32 tensors `(batch, new_height, new_width, channels)`.
        """
        pixels = to_pixels(images)
        return tuple(
            pipeline.view(pixels, own) for pipeline, own in self._each(numbers)
        )

    def _of_crops(self, crops, numbers):
        """The views of images that are cropped already, one crop for every view.

        Args:
            crops: list of tensors `(batch, new_height, channels, new_width)`.
            numbers: as above.
        """
        return tuple(
            pipeline.view_of_crop(crop, own)
            for crop, (pipeline, own) in zip(crops, self._each(numbers), strict=True)
        )

    def _boxes(self, numbers, image_shape):
        """The boxes that the crops of one image cut out.

        Args:
            numbers: tensor `(1, self.numbers)`, uniform in 0..1.
            image_shape: int tensor `(2,)`, height and width of the image.

        Returns:
            int32 tensor `(views, 4)`: top, left, height, width.
        """
        ops = ops_for(image_shape)
        names = ("top", "left", "height", "width")
        rows = []
        for pipeline, own in self._each(numbers):
            box = pipeline.box(own, (image_shape[0], image_shape[1]))
            rows.append(ops.stack([box[name][0] for name in names]))
        return ops.cast(ops.stack(rows), "int32")

    def _each(self, numbers):
        """Every pipeline with its own columns of the uniform numbers."""
        ends = itertools.accumulate(pipeline.numbers for pipeline in self.pipelines)
        for pipeline, end in zip(self.pipelines, ends, strict=True):
            yield pipeline, numbers[:, end - pipeline.numbers : end]
