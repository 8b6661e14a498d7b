"""Images -> two views (and local ones), on every backend and in `tf.data`."""

import math
import os

import keras
import numpy as np

from keras_vicreg.augment.arrays import in_pipeline, ops_for, tensorflow_ops
from keras_vicreg.augment.layer import checked_size
from keras_vicreg.augment.randomness import RandomLayer
from keras_vicreg.data.bit_depth import SixteenBits
from keras_vicreg.data.image_checks import check_pixels
from keras_vicreg.data.unreadable import MOST, Unreadable
from keras_vicreg.data.untuned import untuned
from keras_vicreg.views import file_crops
from keras_vicreg.views.maker import view_maker
from keras_vicreg.views.recipes import RECIPES


@keras.saving.register_keras_serializable(package="keras_vicreg")
class TwoViews(RandomLayer):
    """Makes two random views of every image.

    Every image and every view draws its own crop, flip, colours, blur and the rest.
    The layer runs on every backend, eagerly, inside a model, compiled, and mapped
    over a `tf.data.Dataset` of batches or of single images of any size. Mapped in
    parallel calls it draws in no fixed order; `from_files` does in a fixed one.

    Args:
        image_size: int, height and width of the views in pixels, or a pair
            `(height, width)`.
        recipe: the published pipeline: `"vicreg"` (the authors', asymmetric),
            `"vicreg_cifar"`, `"simclr"`, `"simclr_cifar"`, `"moco"`, `"moco_cifar"`,
            `"byol"`, `"barlow_twins"` or `"wmse"`.
            Defaults to `"vicreg"`.
        seed: optional int. Equal seeds give equal views. Defaults to `None`, a
            random seed.
        local_views: int, how many small views of small crops follow the two, for
            methods that use them. They have the steps of the first and the second
            view in turn. Defaults to `0`.
        local_size: optional int or pair, the size of the local views. Defaults to
            `None`, 3/7 of `image_size` (96 pixels for 224), up to 64 pixels 9/16 of it
            (18 for 32).
        **kwargs: see `keras.layers.Layer`.

    Returns:
        Two float32 tensors `(batch, height, width, channels)`, 0..255, and as many
        smaller ones as there are local views.

    Raises:
        ValueError: if the recipe is unknown, or a size is not positive; for a NumPy
            array that is not in 0..255.

    Example:

    >>> images = np.random.randint(0, 256, (8, 48, 64, 3), "uint8")
    >>> a, b = kv.TwoViews(32, recipe="vicreg", seed=0)(images)
    >>> a.shape, b.shape
    ((8, 32, 32, 3), (8, 32, 32, 3))
    """

    def __init__(
        self,
        image_size,
        recipe: str = "vicreg",
        seed: int | None = None,
        *,
        local_views: int = 0,
        local_size=None,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        if not isinstance(recipe, str) or recipe not in RECIPES:
            raise ValueError(
                f"`recipe` must be one of {sorted(RECIPES)}. "
                f"Received: recipe={recipe!r}"
            )
        if type(local_views) is not int or local_views < 0:
            raise ValueError(
                "`local_views` must be an integer from 0 on. "
                f"Received: local_views={local_views!r}"
            )
        self.image_size = image_size
        self.recipe = recipe
        self.local_views = local_views
        self.local_size = local_size
        size = checked_size("image_size", image_size)
        if local_size is not None:
            local_size = checked_size("local_size", local_size)
        self.maker = view_maker(recipe, size, local_views, local_size)

    def __call__(self, images, **kwargs):
        if isinstance(images, np.ndarray):  # of other tensors a look costs more
            check_pixels(images)
        return super().__call__(images, **kwargs)

    def call(self, images):
        if images.shape[-1] is None:
            raise ValueError(
                "`images` must have a known number of channels. "
                f"Received: images.shape={images.shape}"
            )
        if len(images.shape) == 3:
            if in_pipeline(images):
                return self._of_one(
                    images, self.uniform(1, self.maker.numbers, like=images)
                )
            images = ops_for(images).expand_dims(images, 0)
            return tuple(view[0] for view in self.call(images))
        batch_size = ops_for(images).shape(images)[0]
        numbers = self.uniform(batch_size, self.maker.numbers, like=images)
        return self.maker.of_images(images, numbers)

    def from_files(self, paths, *, max_unreadable: float = MOST):
        """Views straight from image files, made on the CPU in `tf.data`.

        The tool for photographs much larger than the views: a JPEG file is decoded
        only where its crops lie. The order is that of the files, and equal seeds give
        equal views, however many files are worked on at a time. A file that cannot be
        read is left out, and named in a warning once, however many epochs there are.

        Args:
            paths: list of names of image files, or a `tf.data.Dataset` of such names,
                which may come again and again.
            max_unreadable: share of the files that may be unreadable, 0 to 1, before
                it is an error of the pipeline. Defaults to a half.

        Returns:
            A `tf.data.Dataset` of tuples of float32 views `(height, width, 3)`,
            0..255, one tuple a file, not batched.

        Raises:
            ValueError: if `max_unreadable` is no such share.

        Example:

        >>> pairs = kv.TwoViews(224).from_files(paths).batch(256, drop_remainder=True)
        >>> model.fit(pairs.map(lambda a, b: ((a, b),)))
        """
        import tensorflow as tf

        met = set()  # hashes of the names, which are many
        if not isinstance(paths, tf.data.Dataset):
            names = [os.fsencode(path) for path in paths]
            met.update(map(hash, names))
            paths = tf.data.Dataset.from_tensor_slices(names)
        count = len(met) or int(paths.cardinality())
        unreadable = Unreadable(count if count >= 0 else math.inf, max_unreadable)
        deep = SixteenBits()

        def meet(path):
            met.add(hash(path))
            return path

        def skip(name, error):
            if name in unreadable:  # all came once, so that their number is known
                unreadable.count = len(met)
            unreadable.add(name, error)
            unreadable.check()
            unreadable.say()

        def see(name, highest):
            deep.see(name, highest)
            deep.say()

        paths = paths.map(lambda path: tf.numpy_function(meet, [path], tf.string))
        return self.of_files(paths, skip, see)

    def of_files(self, paths, skip, see):
        """As `from_files`, of names as bytes, with functions as `file_crops.decode`."""
        import tensorflow as tf

        def draw(path):
            path = tf.ensure_shape(path, ())
            return path, self.uniform(1, self.maker.numbers, like=path)

        def decode(path, numbers):
            image, boxes = file_crops.decode(
                path,
                lambda image_shape: self.maker.boxes(numbers, image_shape),
                skip,
                see,
            )
            return image, numbers, boxes

        decoded = paths.map(draw).map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        readable = decoded.filter(lambda image, *_: tf.size(image) > 0)
        made = readable.map(self._of_one, num_parallel_calls=tf.data.AUTOTUNE)
        return untuned(made)

    def _of_one(self, image, numbers, boxes=None):
        """The views of one image of any size, in a pipeline on the CPU."""
        ops = tensorflow_ops()
        if boxes is None:
            boxes = self.maker.boxes(numbers, ops.stack(ops.shape(image)[:2]))
        crops = [
            file_crops.crop(
                image, boxes[index], pipeline.crop.size, pipeline.crop.interpolation
            )
            for index, pipeline in enumerate(self.maker.pipelines)
        ]
        return tuple(view[0] for view in self.maker.of_crops(crops, numbers))

    def compute_output_shape(self, input_shape):
        return tuple(
            (*input_shape[:-3], *pipeline.crop.size, input_shape[-1])
            for pipeline in self.maker.pipelines
        )

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "recipe": self.recipe,
            "local_views": self.local_views,
            "local_size": self.local_size,
        }
