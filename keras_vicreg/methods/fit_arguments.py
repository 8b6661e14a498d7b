"""Arguments of Keras's `fit` and `evaluate` that have no meaning without labels."""

from keras_vicreg.data.in_memory import as_views, in_memory

REASONS = {
    "sample_weight": "the terms are statistics of the whole batch, in which all images "
    "count alike",
    "class_weight": "labels play no part",
    "validation_split": "it would split by position: give `validation_data=` images of "
    "their own",
}


def check_arguments(x, y, options: dict) -> None:
    """Raises for what would change nothing.

    Args:
        x: images, pairs of views or a dataset.
        y: labels, which are ignored but must be one for each image; `None` for a
            dataset.
        options: the other arguments by name.

    Raises:
        ValueError: for weights, a validation split, or labels that are too few or
            too many.
    """
    for name, reason in REASONS.items():
        value = options.get(name)
        if value is not None and not (name == "validation_split" and value == 0):
            raise ValueError(
                f"`{name}` must not be given: {reason}. "
                f"Received: {name}={_short(value)}"
            )
    if y is None:
        return
    if not in_memory(x):
        raise ValueError(
            "`y` must be None when `x` is a dataset, whose batches may hold labels. "
            f"Received: y={_short(y)}"
        )
    samples = len(as_views(x)[0])
    for labels in y.values() if isinstance(y, dict) else [y]:
        if len(labels) != samples:
            raise ValueError(
                "Labels, which are ignored, must be one for each image all the same. "
                f"Received: {len(labels)} labels for {samples} images"
            )


def _short(value) -> str:
    shape = getattr(value, "shape", None)
    return repr(value)[:80] if shape is None else f"an array of shape {tuple(shape)}"
