"""RandomResizedCrop: a random box of an image, resized as Pillow resizes."""

import math

import keras

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.layer import Augmentation, check_range, checked_size
from keras_vicreg.augment.resampling import FILTERS, along_axes, resampling_matrix

TRIES = 10


@keras.saving.register_keras_serializable(package="keras_vicreg")
class RandomResizedCrop(Augmentation):
    """Cuts a random box out of every image and resizes it to one size.

    The box has a random share of the area and a random ratio of width to height. It
    is drawn anew up to ten times until it fits into the image; failing that, the
    largest centred box of an allowed ratio is taken. Its whole-pixel cut-out is
    resized with an antialiased filter, along the width and then along the height,
    clipped to 0..255 after each: `image.crop(box).resize(...)` of Pillow, without
    the rounding to 8 bits. Outside training it resizes that centred box.

    A resize is linear, so that of an image is two matrix products, `rows @ box @
    columns`, and that of a batch two batched ones.

    Args:
        size: int, or pair of ints `(height, width)`, in pixels.
        scale: pair of floats, the least and the largest share of the image's area.
            Defaults to `(0.08, 1.0)`.
        ratio: pair of floats, the least and the largest width / height. Defaults to
            `(3 / 4, 4 / 3)`.
        interpolation: `"bicubic"` (a = -0.5) or `"bilinear"`. Defaults to
            `"bicubic"`.
        seed: optional int.
        **kwargs: see `keras.layers.Layer`.

    Parameters of `draw` and `apply`: `top`, `left`, `height`, `width`, the box in
    whole pixels, float32 `(batch,)`.

    Example:

    >>> images = np.random.randint(0, 256, (8, 48, 64, 3), "uint8")
    >>> kv.augment.RandomResizedCrop(32)(images).shape
    (8, 32, 32, 3)

    Reference:
        Szegedy et al., "Going deeper with convolutions", 2015, section 6.
    """

    numbers = 2 * TRIES + 2

    def __init__(
        self,
        size,
        scale=(0.08, 1.0),
        ratio=(3 / 4, 4 / 3),
        interpolation: str = "bicubic",
        seed=None,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        self.size = checked_size("size", size)
        check_range("scale", scale, 0, 1)
        check_range("ratio", ratio, 1e-3)
        if interpolation not in FILTERS:
            raise ValueError(
                f"`interpolation` must be one of {sorted(FILTERS)}. "
                f"Received: interpolation={interpolation!r}"
            )
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)
        self.interpolation = interpolation

    def parameters(self, numbers, image_shape):
        ops = ops_for(numbers)
        height, width = (ops.cast(size, "float32") for size in image_shape)
        share = _between(numbers[:, :TRIES], *self.scale)
        log_ratio = _between(numbers[:, TRIES:-2], *map(math.log, self.ratio))
        ratio = ops.exp(log_ratio)
        heights = ops.round(ops.sqrt(share * height * width / ratio))  # (batch, tries)
        widths = ops.round(ops.sqrt(share * height * width * ratio))
        fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
        fits = ops.cast(fits, "float32")
        first = fits * ops.cast(ops.cumsum(fits, axis=1) <= 1, "float32")
        found = ops.sum(first, axis=1) > 0
        centred = self.centred_box(ops, height, width)
        box_height = ops.where(found, ops.sum(first * heights, axis=1), centred[0])
        box_width = ops.where(found, ops.sum(first * widths, axis=1), centred[1])

        def position(number, room):
            return ops.floor(ops.where(found, number * (room + 1), room / 2))

        return {
            "top": position(numbers[:, -2], height - box_height),
            "left": position(numbers[:, -1], width - box_width),
            "height": box_height,
            "width": box_width,
        }

    def centred_box(self, ops, height, width):
        """Height and width of the largest box of an allowed ratio."""
        low, high = self.ratio
        return (
            ops.minimum(height, ops.round(width / low)),
            ops.minimum(width, ops.round(height * high)),
        )

    def transform(self, pixels, parameters):
        _, height, _, width = ops_for(pixels).shape(pixels)
        columns, rows = (
            resampling_matrix(start, length, full, size, self.interpolation)
            for start, length, full, size in (
                (parameters["left"], parameters["width"], width, self.size[1]),
                (parameters["top"], parameters["height"], height, self.size[0]),
            )
        )
        return along_axes(pixels, columns, rows)

    def inference(self, images):
        ops = ops_for(images)
        batch_size, height, width, _ = ops.shape(images)
        box = self.centred_box(
            ops, ops.cast(height, "float32"), ops.cast(width, "float32")
        )
        starts = ops.floor((height - box[0]) / 2), ops.floor((width - box[1]) / 2)
        parameters = {
            name: ops.broadcast_to(value, (batch_size,))
            for name, value in zip(("top", "left", "height", "width"), starts + box)
        }
        return self.apply(images, parameters)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-3], *self.size, input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "scale": self.scale,
            "ratio": self.ratio,
            "interpolation": self.interpolation,
        }


def _between(numbers, low, high):
    return low + (high - low) * numbers
