"""The way from views to embeddings: which models each passes, in which size."""

import weakref

import keras
from keras import ops

from keras_vicreg.devices.microbatch import embed_in_pieces
from keras_vicreg.encoders.backbones import as_encoder, warn_of_slow_statistics

_RESIZED = weakref.WeakKeyDictionary()  # encoder -> {image shape: model}


class Branches:
    """Encoder and expander of each view, shared by all or one pair for each of two.

    A model that has it sets `encoder`, `expander`, `second_encoder`, `second_expander`
    (`None` where the first is shared) and `microbatch_size`.
    """

    joint_statistics = False  # whether views of one size pass as one batch

    # Methods: Keras would save what properties give among a model's layers.
    def branches(self) -> list:
        """Pairs of encoder and expander: one, or one for each of two views."""
        first = (self.encoder, self.expander)
        second = (
            self.second_encoder or self.encoder,
            self.second_expander or self.expander,
        )
        return [first] if second == first else [first, second]

    def parts(self) -> list:
        """The models of all branches, each once."""
        return list(
            dict.fromkeys(part for branch in self.branches() for part in branch)
        )

    def embed(self, views, training: bool = False) -> tuple:
        """Tuple of views -> their embeddings, of expander on encoder."""
        branches = [
            self.branches()[i % len(self.branches())] for i in range(len(views))
        ]
        branches = [
            (for_images(encoder, view), expander)
            for (encoder, expander), view in zip(branches, views)
        ]
        if training and self.microbatch_size is not None:
            return in_groups(
                branches,
                views,
                lambda parts, batches: embed_in_pieces(
                    parts, batches, self.microbatch_size
                ),
            )
        for models in zip(*branches):  # the encoders, then the expanders
            views = self.apply(models, views, training)
        return tuple(views)

    def apply(self, models, batches, training: bool) -> tuple:
        """The output of a model for each batch."""
        if not self.joint_statistics:
            return tuple(
                model(batch, training=training) for model, batch in zip(models, batches)
            )
        return in_groups(
            models, batches, lambda model, group: as_one(model, group, training)
        )


def in_groups(models, batches, function) -> tuple:
    """Outputs of `function(models, batches)` of the batches that go one way together.

    These are of one shape and pass the same models; the order stays.
    """
    groups, outputs = {}, list(batches)
    for index, (way, batch) in enumerate(zip(models, batches)):
        groups.setdefault((way, tuple(batch.shape)), []).append(index)
    for (way, _), indices in groups.items():
        made = function(way, tuple(batches[index] for index in indices))
        for index, output in zip(indices, made):
            outputs[index] = output
    return tuple(outputs)


def as_one(model, batches, training: bool) -> list:
    """The outputs of a model for batches of one shape, normalized as one batch."""
    # Image by image: a device that holds a block of the batch keeps it.
    x = ops.stack(batches, axis=1)
    y = model(ops.reshape(x, (-1, *x.shape[2:])), training=training)
    y = ops.reshape(y, (-1, len(batches), *y.shape[1:]))
    return [y[:, index] for index in range(len(batches))]


def for_images(encoder, images):
    """An encoder with the same weights that takes images of another size, if it can.

    Args:
        encoder: a functional `keras.Model`.
        images: tensor `(batch, height, width, channels)`, or any other input.

    Raises:
        ValueError: if it takes images of one size only.
    """
    shape, wanted = tuple(images.shape[1:]), tuple(encoder.inputs[0].shape[1:])
    fits = len(shape) == len(wanted) and all(
        None in (side, other) or side == other for side, other in zip(shape, wanted)
    )
    if fits or len(shape) != 3:
        return encoder
    made = _RESIZED.setdefault(encoder, {})
    if shape not in made:
        inputs = keras.Input(shape, dtype=encoder.inputs[0].dtype)
        try:
            made[shape] = keras.Model(inputs, encoder.call(inputs), name=encoder.name)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(
                "The encoder must take images of the size of every view; this one has "
                "weights for one size, as vision transformers have. "
                f"Received: views of {shape}, an encoder of {wanted}"
            ) from error
    return made[shape]


def are_widths(head) -> bool:
    """Whether a head is given by the widths of its layers."""
    return isinstance(head, (list, tuple)) and all(type(w) is int for w in head)


def as_pair(name: str, models) -> tuple:
    """The first model and the second, `None` where there is one for all views."""
    if not isinstance(models, (list, tuple)):
        return models, None
    if len(models) != 2:
        raise ValueError(
            f"`{name}` must be a model or a pair of them. Received: {len(models)}"
        )
    return tuple(models)


def as_encoders(models) -> tuple:
    """The encoder of images, and the second one, of whatever it takes, or `None`."""
    first, second = as_pair("encoder", models)
    first = as_encoder(first)
    warn_of_slow_statistics(first)
    if second is not None and len(getattr(second, "input_shape", (4,) * 4)) == 4:
        second = as_encoder(second)
    return first, second
