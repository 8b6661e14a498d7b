"""What methods keep from one step to the next: momentum copies, queues of embeddings.

All of it is variables, made before the first step: they are saved, resumed and, on
replicas, moved by what every replica has gathered, so that they stay equal.
"""

import contextlib
import math

import keras
from keras import ops


class MomentumCopy(keras.layers.Layer):
    """Copies of the weights of models, which follow them slowly.

    It is no second network: within `in_place_of` the models themselves compute with
    the copies. So any model can have one, and neither an optimizer nor what is saved
    of the model knows of it. Trainable weights follow as an exponential moving average;
    running statistics are the copy's own and move with the batches that it sees.

    Args:
        parts: list of built models.
        momentum: float in 0..1, the share of itself that a copy keeps in a step.
        total_steps: int, the number of steps in which the momentum rises to 1 along a
            cosine. Defaults to `None`, a constant momentum.
        name: name of the layer.

    Reference:
        Grill et al., "BYOL", NeurIPS 2020, section 3.2, for the rise; He et al.,
        "Momentum Contrast", CVPR 2020.
    """

    def __init__(self, parts, momentum: float, total_steps: int | None, name=None):
        super().__init__(name=name, dtype="float32")
        self.momentum, self.total_steps = momentum, total_steps
        self.copies = [self._copy_of(weight) for weight in _weights_of(parts)]
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )
        self.built = True

    def _copy_of(self, weight):
        return self.add_weight(
            shape=weight.shape,
            dtype=weight.dtype,
            # In memory of its own: JAX gives that of a step's variables away.
            initializer=lambda shape, dtype=None: ops.copy(weight.value),
            trainable=False,
            autocast=False,
            name=weight.path.replace("/", "_"),
        )

    @contextlib.contextmanager
    def in_place_of(self, parts):
        """Inside, the weights of `parts` are the copies, and what moves are these.

        States of random generators are not copied: they go on.
        """
        copies = dict(zip(map(id, _weights_of(parts)), self.copies, strict=True))
        variables = {id(v): v for part in parts for v in part.variables}
        holders = [(v, copies.get(key, v)) for key, v in variables.items()]
        # All variables: a scope within JAX's own does not look into that one.
        values = [(variable, holder.value) for variable, holder in holders]
        with keras.StatelessScope(state_mapping=values) as scope:
            before = [scope.get_current_value(variable) for variable, _ in holders]
            yield
        for (variable, holder), value in zip(holders, before):
            now = scope.get_current_value(variable)
            if now is not value:
                holder.assign(now)

    def follow(self, parts) -> None:
        """Moves the copies towards the weights of `parts`, after a step."""
        rate = self.rate()
        for weight, copy in zip(_weights_of(parts), self.copies, strict=True):
            if weight.trainable:
                copy.assign(copy + rate * (weight - copy))
        self.step.assign(self.step + 1)

    def rate(self):
        """1 - momentum, at this step."""
        if self.total_steps is None:
            return 1 - self.momentum
        done = ops.minimum(ops.cast(self.step, "float32") / self.total_steps, 1.0)
        return (1 - self.momentum) * (ops.cos(math.pi * done) + 1) / 2


class EmbeddingQueue(keras.layers.Layer):
    """The embeddings of earlier steps, those of each view in a ring of their own.

    Args:
        views: int, number of rings.
        size: int, number of rows in each.
        features: int, size of a row.
        initializer: of the rows that are there at first. Defaults to zeros.
        name: name of the layer.
    """

    def __init__(
        self, views: int, size: int, features: int, initializer="zeros", name=None
    ):
        super().__init__(name=name, dtype="float32")
        self.rings = [
            self.add_weight(
                shape=(size, features),
                initializer=initializer,
                trainable=False,
                name=f"ring_{view}",
            )
            for view in range(views)
        ]
        self.pointer = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="next"
        )
        self.built = True

    @property
    def rows(self):
        """A copy, `(views, size, features)`, the oldest row where the pointer is."""
        # PyTorch writes in place, before the backward pass has read them.
        return ops.stack([ring.value for ring in self.rings])

    def push(self, views) -> None:
        """Writes the rows of a step over the oldest ones.

        Args:
            views: a tensor for each ring, `(rows, features)`, gathered from all
                replicas. Of more rows than there is room for the last ones stay.
        """
        size, count = self.rings[0].shape[0], ops.shape(views[0])[0]
        slots = (self.pointer.value + ops.arange(count, dtype="int32")) % size
        for ring, rows in zip(self.rings, views, strict=True):
            rows = ops.stop_gradient(rows)[-size:]
            ring.assign(ops.scatter_update(ring.value, slots[-size:, None], rows))
        self.pointer.assign((self.pointer.value + count) % size)


def check_momentum(momentum, total_steps) -> None:
    """Raises unless a copy can follow so."""
    if momentum is not None and (
        isinstance(momentum, bool)
        or not isinstance(momentum, (int, float))
        or not 0 <= momentum <= 1  # NaN too
    ):
        raise ValueError(
            "`momentum` must be a number from 0 to 1, or None. "
            f"Received: momentum={momentum!r}"
        )
    if total_steps is not None and (type(total_steps) is not int or total_steps < 1):
        raise ValueError(
            "`total_steps` must be a positive integer or None. "
            f"Received: total_steps={total_steps!r}"
        )


def _weights_of(parts) -> list:
    """The weights of models, each once; states of random generators are none."""
    return list({id(w): w for part in parts for w in part.weights}.values())
