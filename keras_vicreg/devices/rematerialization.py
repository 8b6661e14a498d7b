"""Activations of an encoder that are computed again in the backward pass, not kept.

`keras.RematScope` of Keras 3.15 cannot do it: on TensorFlow and JAX it fails for every
layer with a `training` argument, on PyTorch running statistics move twice, and it
works layer by layer, whose inputs are all kept.
"""

import collections
import inspect
import itertools
import math
import warnings

import keras
from keras import ops

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    def compute_again(step):
        """A function that keeps its inputs alone, and computes `step` twice.

        Args:
            step: pure function of weights, states (lists of tensors, no variables)
                and a tensor, that returns new states and a list of outputs.
        """

        def twice(weights, states, x):
            count = len(states)

            @tf.custom_gradient
            def once(x, *weights):
                def gradient(*upstream):
                    slopes = list(upstream[count:])
                    # Not before it is needed, or all segments are computed again at
                    # once; and as other tensors, or it is merged with the first time.
                    with tf.control_dependencies(slopes[:1]):
                        inputs = [tf.identity(t) for t in (x, *weights)]
                    with tf.GradientTape() as tape:
                        tape.watch(inputs)
                        _, outputs = step(inputs[1:], states, inputs[0])
                    return tape.gradient(
                        outputs,
                        inputs,
                        slopes,
                        unconnected_gradients=tf.UnconnectedGradients.ZERO,
                    )

                after, outputs = step(weights, states, x)
                return (*after, *outputs), gradient

            results = once(x, *weights)
            return results[:count], results[count:]

        return twice

    def weights_first(x, weights):
        """What it is given. The gradient of `x` waits for those of the weights.

        They would be put off to the end of the step, since nothing before asks for
        them, and what they are made of would be held till then.
        """

        @tf.custom_gradient
        def ordered(x, *weights):
            def gradient(slope, *slopes):
                with tf.control_dependencies(slopes):
                    return tf.identity(slope), *slopes

            return (tf.identity(x), *weights), gradient

        x, *weights = ordered(x, *map(tf.identity, weights))  # no variables
        return x, weights

else:
    compute_again = keras.remat

    def weights_first(x, weights):
        """What it is given; the order of gradients is the framework's affair."""
        return x, weights


def rematerialize(model) -> None:
    """Makes a model keep a few of its activations in training, and not the rest.

    It is divided into segments at places where one tensor holds all that follows needs,
    so that these tensors and those of the largest segment are few numbers together. In
    training the tensors between segments are kept, and each segment but the last is
    computed once more for its gradient. Values and gradients stay the same to rounding,
    running statistics and random states move once, and what is saved of the model knows
    nothing of it.

    On JAX the compiler decides what is kept in the end: on the CPU nothing was saved
    where it was measured, see training/SCALING.md.

    Args:
        model: a functional `keras.Model` with one input and one output. One that
            cannot be divided stays as it is, with a warning. Sides of images that it
            leaves open count as one where segments are compared.

    Reference:
        Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost",
        2016, https://arxiv.org/abs/1604.06174, section 4
    """
    tensors = find_bottlenecks(model)
    if len(tensors) < 4:
        warnings.warn(
            f"{model.name!r} cannot be divided, so that `remat` has no effect: no "
            "layer but the first and the last holds all that follows it needs.",
            stacklevel=2,
        )
        return
    model.call = _Segments(model, tensors)


def find_bottlenecks(model) -> list:
    """Symbolic tensors through which all that follows passes, first and last too.

    None where a layer is called more than once, or the model is not a graph of layers.
    """
    operations = [
        op
        for op in getattr(model, "operations", ())
        if not isinstance(op, keras.layers.InputLayer)
    ]
    if not operations:
        return []
    inputs = [[id(t) for t in keras.tree.flatten(op.input)] for op in operations]
    waiting = collections.Counter(itertools.chain(*inputs))
    alive, found = {id(model.input)}, [model.input]
    for op, used in zip(operations, inputs):
        if not alive.issuperset(used):  # of a call that the layer does not name
            return []
        waiting.subtract(used)
        made = keras.tree.flatten(op.output)
        alive = {t for t in alive if waiting[t]} | {id(t) for t in made}
        if len(alive) == 1:
            found += made
    return found if found[-1] is model.output else []


def divide(model, tensors) -> list:
    """Of tensors that hold all that follows needs, those to keep.

    Segments are as long as a bound on their numbers allows, for each bound that makes a
    difference; of these divisions that one is taken with the fewest numbers, those that
    are kept and those of the largest segment together (algorithm 3 of Chen et al.).

    Args:
        model: a functional `keras.Model`.
        tensors: those of `find_bottlenecks`.

    Returns:
        Some of the tensors, the first and the last among them.
    """
    total, reached = 0, {}  # numbers computed until a tensor is there
    for op in model.operations:
        for tensor in keras.tree.flatten(op.output):
            total += elements(tensor)
            reached[id(tensor)] = total
    ends = [reached[id(tensor)] for tensor in tensors]

    def within(bound):
        kept = [0]
        for at in range(1, len(ends)):
            if ends[at] - ends[kept[-1]] > bound:
                kept.append(at - 1)
        return [*kept, len(ends) - 1]

    def numbers(kept):
        largest = max(
            ends[end] - ends[start] for start, end in itertools.pairwise(kept)
        )
        return largest + sum(elements(tensors[at]) for at in kept)

    least = max(end - start for start, end in itertools.pairwise(ends))
    bounds = {end - start for start, end in itertools.combinations(ends, 2)}
    divisions = [within(bound) for bound in sorted(bounds) if bound >= least]
    return [tensors[at] for at in min(divisions, key=numbers)]


def elements(tensor) -> int:
    """Numbers in a symbolic tensor, of each image."""
    return math.prod(side or 1 for side in tensor.shape[1:])


class _Segments:
    """The `call` of a model, which it stands in front of."""

    def __init__(self, model, tensors):
        self.model, self.stock = model, model.call
        kept = divide(model, tensors)
        self.segments = [Segment(*pair) for pair in itertools.pairwise(kept)]

    def __call__(self, inputs, training=None, mask=None, **kwargs):
        if not training:
            return self.stock(inputs, training=training, mask=mask, **kwargs)
        x = ops.cast(inputs, self.model.input.dtype)
        *earlier, last = self.segments
        for segment in earlier:
            x = self._pass(segment.compute(x, compute_again))
        # Its gradient comes at once, as does the first of all.
        return self._pass(last.compute(x))

    def _pass(self, outputs):
        """The tensor that goes on; losses of layers become those of the model."""
        x, *losses = outputs
        for loss in losses:
            keras.Layer.add_loss(self.model, loss)  # functional models have no own
        return x


class Segment(keras.layers.Layer):
    """The part of a functional model between two of its tensors."""

    def __init__(self, start, end):
        super().__init__(autocast=False)
        self.function = keras.Function(start, end)
        self.parts = [  # whose variables are those of this layer, frozen or not
            op for op in self.function.operations if isinstance(op, keras.layers.Layer)
        ]
        self.built = True

    def call(self, x, training=None):
        # The graph has kept each layer's default for `training`, and there is no
        # public way to exchange it.
        def in_mode(op):
            if "training" not in inspect.signature(op.call).parameters:
                return op
            return lambda *args, **kwargs: op(*args, **{**kwargs, "training": training})

        outputs = self.function._run_through_graph([x], operation_fn=in_mode)
        return keras.tree.flatten(outputs)[0]

    def compute(self, x, wrapper=lambda step: step):
        """Its output in training, and the losses of its layers, in a list.

        Args:
            x: tensor, what it starts from.
            wrapper: what is done to the function that is computed, of weights, states
                and `x`: `compute_again` to keep `x` alone for the gradient.
        """

        def step(weights, states, x):
            mapping = [*zip(trained, weights), *zip(carried, states)]
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                outputs = [self(x, training=True), *scope.losses]
                # Layers know their losses by `id`, which later tensors may have.
                self._clear_losses()
            return [scope.get_current_value(v) for v in carried], outputs

        trained, carried = self.trainable_variables, self.non_trainable_variables
        weights = [ops.convert_to_tensor(v) for v in trained]
        states = [ops.copy(v) for v in carried]  # PyTorch assigns in place
        x, weights = weights_first(x, weights)
        states, outputs = wrapper(step)(weights, states, x)
        for variable, state in zip(carried, states):
            variable.assign(state)
        return outputs
