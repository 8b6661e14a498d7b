"""What every augmentation layer shares: draws per image, and pure pixel maths."""

from keras_vicreg.augment.arrays import ops_for
from keras_vicreg.augment.randomness import RandomLayer


class Augmentation(RandomLayer):
    """A random change of images, drawn anew for every image.

    The randomness and the pixels are apart: `draw` gives the parameters of a batch,
    one row an image, and `apply` is a pure function of images and parameters, exact
    and repeatable. `call` joins the two while training and leaves images alone at
    inference.

    A subclass says how many uniform numbers an image takes (`numbers`), which
    parameters they stand for (`parameters`), and what those do to the pixels
    (`transform`), in the layout `(batch, height, channels, width)`, in which every
    step of the pipelines is a plain matrix product or pixel-wise.
    """

    numbers = 1

    def parameters(self, numbers, image_shape):
        """The parameters that uniform numbers stand for.

        Args:
            numbers: tensor `(batch, self.numbers)`, uniform in 0..1.
            image_shape: `(height, width)` of the images, ints or scalar tensors.

        Returns:
            A dict of tensors, each `(batch, ...)`.
        """
        raise NotImplementedError

    def transform(self, pixels, parameters):
        """The change itself, float32 `(batch, height, channels, width)` in and out."""
        raise NotImplementedError

    def draw(self, batch_size: int, image_shape: tuple[int, int]):
        """Random parameters for `batch_size` images, as `apply` takes them.

        Args:
            batch_size: int.
            image_shape: `(height, width)` of the images.

        Returns:
            A dict of tensors, each `(batch_size, ...)`.
        """
        return self.parameters(self.uniform(batch_size, self.numbers), image_shape)

    def apply(self, images, parameters):
        """Changes images by given parameters. Nothing here is random.

        Args:
            images: tensor `(batch, height, width, channels)`, uint8 or float, 0..255.
            parameters: dict of tensors, from `draw` or made by hand.

        Returns:
            float32 tensor, `(batch, height, width, channels)`, 0..255.
        """
        return to_images(self.transform(to_pixels(images), parameters))

    def call(self, images, training=True):
        ops = ops_for(images)
        if len(images.shape) == 3:
            return self.call(ops.expand_dims(images, 0), training=training)[0]
        batch_size, height, width, _ = ops.shape(images)
        if training:
            numbers = self.uniform(batch_size, self.numbers, like=images)
            parameters = self.parameters(numbers, (height, width))
            return self.apply(images, parameters)
        return self.inference(images)

    def inference(self, images):
        """What the layer does outside training: nothing but the float32."""
        return ops_for(images).cast(images, "float32")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


class Occasional(Augmentation):
    """A change that an image undergoes or not: a subclass says which, `changed`.

    Parameters of `draw` and `apply`: `apply`, bool `(batch,)`.

    Args:
        probability: float, the chance that an image is changed.
        seed: optional int.
        **kwargs: see `keras.layers.Layer`.
    """

    def __init__(self, probability: float, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        check_probability(probability)
        self.probability = probability

    def changed(self, pixels):
        """All of them changed, float32 `(batch, height, channels, width)` or alike."""
        raise NotImplementedError

    def parameters(self, numbers, image_shape):
        return {"apply": numbers[:, 0] < self.probability}

    def transform(self, pixels, parameters):
        apply = per_image(parameters["apply"])
        return ops_for(pixels).where(apply, self.changed(pixels), pixels)

    def get_config(self):
        return {**super().get_config(), "probability": self.probability}


def to_pixels(images):
    """`(batch, height, width, channels)` -> float32, channels before the width."""
    ops = ops_for(images)
    return ops.cast(ops.transpose(images, (0, 1, 3, 2)), "float32")


def to_images(pixels):
    """`(batch, height, channels, width)` -> `(batch, height, width, channels)`."""
    return ops_for(pixels).transpose(pixels, (0, 1, 3, 2))


def per_image(parameter):
    """A parameter `(batch,)` that broadcasts over pixels, `(batch, 1, 1, 1)`."""
    return ops_for(parameter).reshape(parameter, (-1, 1, 1, 1))


def checked_size(name: str, size) -> tuple[int, int]:
    """`(height, width)` of a positive int or a pair of them; raises otherwise."""
    pair = (size, size) if type(size) is int else size
    pair = tuple(pair) if isinstance(pair, (list, tuple)) else ()
    if len(pair) != 2 or any(type(side) is not int or side < 1 for side in pair):
        raise ValueError(
            f"`{name}` must be a positive integer or a pair of them. "
            f"Received: {name}={size!r}"
        )
    return pair


def check_probability(probability):
    """Raises unless `probability` is a number in 0..1."""
    if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
        raise ValueError(
            "`probability` must be a number from 0 to 1. "
            f"Received: probability={probability!r}"
        )


def check_range(name: str, values, low: float, high: float = float("inf")):
    """Raises unless `values` is an ordered pair of numbers in low..high."""
    pair = isinstance(values, (list, tuple)) and len(values) == 2
    if not pair or not low <= values[0] <= values[1] <= high:
        raise ValueError(
            f"`{name}` must be an ordered pair of numbers from {low:g} to {high:g}. "
            f"Received: {name}={values!r}"
        )
