"""Batches of embeddings: what every formula asks of them, and their directions."""

from keras import ops

from keras_vicreg.devices.precision import full_precision


def checked_embeddings(*batches, least: int = 1) -> list:
    """Embeddings of the views of the same images, float32.

    Args:
        *batches: one tensor a view, `(batch, features)`, all of one shape.
        least: int, the smallest batch that the loss makes sense of. Defaults to 1.

    Raises:
        ValueError: if the shapes differ, are not of rank 2, or the batch is smaller.
    """
    batches = [ops.cast(ops.convert_to_tensor(batch), "float32") for batch in batches]
    shapes = [tuple(batch.shape) for batch in batches]
    if any(len(shape) != 2 or shape != shapes[0] for shape in shapes):
        raise ValueError(
            "The embeddings of the two views must have equal shapes, "
            f"(batch, features). Received: {' and '.join(map(str, shapes))}"
        )
    if shapes[0][0] is not None and shapes[0][0] < least:
        raise ValueError(
            f"The batch must hold at least {least} samples, since the loss is about "
            f"what they have together. Received: embeddings of shape {shapes[0]}"
        )
    return batches


def unit(x, axis: int = -1):
    """Vectors of length 1 along `axis`; zeros stay zeros.

    The gradient is finite there too, on every backend, unlike that of a quotient.
    """
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, 1e-24))


def matmul(a, b):
    """The matrix product of float32 tensors, in float32 on every device."""
    with full_precision():
        return ops.matmul(a, b)


def cosines(a, b):
    """The cosine of each row of `a` with that of `b`, `(batch,)`."""
    return ops.sum(unit(a) * unit(b), axis=-1)


def check_convention(convention: str, conventions) -> str:
    """Returns `convention` if it is among `conventions`."""
    if not isinstance(convention, str) or convention not in conventions:
        raise ValueError(
            f"`convention` must be one of {sorted(conventions)}. "
            f"Received: convention={convention!r}"
        )
    return convention


def check_positive(name: str, value) -> float:
    """Returns `value` if it is a number greater than 0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):  # NaN too
        raise ValueError(
            f"`{name}` must be a number greater than 0. Received: {name}={value!r}"
        )
    return float(value)


def check_several(views) -> None:
    """Raises unless there is more than one view."""
    if len(views) < 2:
        raise ValueError(f"`views` must be at least two. Received: {len(views)}")


def checked_pair(predictions, targets) -> tuple[list, list]:
    """Two of each, of the same two views, as `checked_embeddings` has them."""
    for name, pair in (("predictions", predictions), ("targets", targets)):
        if len(pair) != 2:
            raise ValueError(
                f"The {name} must be of two views. Received: {len(pair)} of them"
            )
    batches = checked_embeddings(*predictions, *targets)
    return batches[:2], batches[2:]


def mean_cosine(predictions, targets, stop_gradient: bool):
    """Of each view's predictions with the other's targets, over both ways round."""
    predictions, targets = checked_pair(predictions, targets)
    if stop_gradient:
        targets = [ops.stop_gradient(target) for target in targets]
    sides = [ops.mean(cosines(p, t)) for p, t in zip(predictions, reversed(targets))]
    return sum(sides) / 2


def check_integers(values: dict, least: dict) -> None:
    """Raises unless all values are integers of at least their `least`, or else 0."""
    for name, value in values.items():
        if type(value) is not int or value < least.get(name, 0):
            raise ValueError(
                f"`{name}` must be an integer of at least {least.get(name, 0)}. "
                f"Received: {name}={value!r}"
            )
