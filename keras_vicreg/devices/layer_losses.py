"""Losses that layers add of what they compute, where they cannot be counted."""

from keras_vicreg.devices import replicas

BY = "layers add losses of activations, by `activity_regularizer` or `add_loss`"


def refuse_in_pieces(losses) -> None:
    """Raises where layers added losses of their own to what they compute of a piece.

    Args:
        losses: list of those of a piece.
    """
    if losses:
        raise ValueError(
            f"`microbatch_size` must be None where {BY}: their gradient would need the "
            f"activations of all pieces. Received: {len(losses)} such losses of a piece"
        )


def refuse_on_replicas(model) -> None:
    """Raises where layers added losses while several replicas called them.

    Replicas of TensorFlow take turns within a call, and a layer keeps the losses of
    the call that began last.

    Args:
        model: a `keras.Model`, after its call.
    """
    if replicas.num_replicas() == 1:
        return
    if names := [layer.name for layer in model._flatten_layers() if layer._losses]:
        raise ValueError(
            f"There must be one replica where {BY}; JAX counts them on several "
            f"devices. Received: {replicas.num_replicas()} replicas, "
            f"{', '.join(sorted(names))}"
        )


def refuse_in_predictor(predictor) -> None:
    """Raises where a predictor, which runs beside the model's call, regularizes."""
    for layer in predictor._flatten_layers():
        if getattr(layer, "activity_regularizer", None) is not None:
            raise ValueError(
                "`predictor` must have no layer with an `activity_regularizer`, which "
                f"would not be counted. Received: {layer.name!r}"
            )
