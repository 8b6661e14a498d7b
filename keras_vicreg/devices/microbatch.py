"""A large batch in pieces: the activations of a piece are computed again, not kept."""

import keras
from keras import ops

from keras_vicreg.devices import replicas
from keras_vicreg.devices.layer_losses import refuse_in_pieces

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    def loop(count, body, first, *start):
        """Runs `body(index, *values)` for one index after the other, from `first`."""

        def more(index, *_):
            return index < count

        return tf.while_loop(more, body, (first, *start), parallel_iterations=1)[1:]

    def own_zeros(like):
        """Zeros in memory of their own, in which a sum may be formed.

        Those of `tf.zeros` become a constant, one for all of the same shape, and it
        stays as it is. `Empty` is computed when the graph runs, once for each call.
        """
        zero = tf.raw_ops.Empty(shape=(), dtype="float32", init=True)
        return tf.fill(like.shape, tf.cast(zero, like.dtype))

    def add_in_place(total, part):
        """The sum, in the memory of `total` if it came from `own_zeros`.

        A sum in new memory, piece after piece, comes to lie amid what the piece frees.
        TensorFlow's pool takes the smallest gap that is large enough, so it would go on
        to memory it has not touched instead of what such a sum divides.
        """
        # The check keeps the graph's rewriting from one sum of this and earlier ones.
        return total + tf.ensure_shape(part, total.shape)

    def scan_pieces(forward, weights, states, piece_at, count):
        """Runs `forward` piece after piece, and once more for the gradient.

        Rematerialization as TensorFlow has it leaves the order of the pieces to the
        scheduler, which works on all of them at a time. Loops keep the order.

        Args:
            forward: pure function of weights, states and a piece that returns new
                states and a tensor.
            weights: list of tensors, those to differentiate with respect to.
            states: list of tensors, handed from piece to piece.
            piece_at: function of an index, a scalar tensor, that returns a piece, or
                whatever `forward` takes for one.
            count: number of pieces, an int or a scalar tensor.

        Returns:
            The states after the last piece, and the outputs `(count, ...)`.
        """

        def array(like):
            return tf.TensorArray(
                like.dtype, count, element_shape=like.shape, clear_after_read=False
            )

        @tf.custom_gradient
        def outputs_of(*weights):
            def onward(index, states, befores, outputs):
                befores = [a.write(index, s) for a, s in zip(befores, states)]
                states, output = forward(weights, states, piece_at(index))
                output = ops.cast(output, "float32")
                return index + 1, states, befores, outputs.write(index, output)

            outputs = tf.TensorArray("float32", count)
            after, befores, outputs = loop(
                count, onward, 0, states, [array(state) for state in states], outputs
            )

            def gradient(upstream, *_):
                def again(index, sums):
                    before = [states.read(index) for states in befores]
                    with tf.GradientTape() as tape:
                        tape.watch(weights)
                        _, output = forward(weights, before, piece_at(index))
                        output = ops.cast(output, "float32")
                    slopes = tape.gradient(
                        output,
                        weights,
                        upstream[index],
                        unconnected_gradients=tf.UnconnectedGradients.ZERO,
                    )
                    return index + 1, list(map(add_in_place, sums, slopes))

                # Not before it is needed: the first piece would be computed again,
                # and kept, while the others are computed for the first time.
                with tf.control_dependencies([upstream]):
                    first = tf.constant(0) + 0
                return loop(count, again, first, [own_zeros(w) for w in weights])[0]

            return (outputs.stack(), *after), gradient

        outputs, *after = outputs_of(*weights)
        return after, outputs

else:

    def scan_pieces(forward, weights, states, piece_at, count):
        """Runs `forward` piece after piece, and once more for the gradient."""

        def step(states, index):
            states, output = forward(weights, states, piece_at(index))
            return states, ops.cast(output, "float32")

        return ops.scan(
            keras.remat(step), states, ops.arange(count), unroll=replicas.on_cpu()
        )


def embed_in_pieces(parts, views, microbatch_size: int):
    """Embeddings of a batch, with memory for the activations of a piece of each view.

    The forward pass keeps the embeddings alone; the backward pass computes the rest
    again, piece after piece, from the gradient of the loss of the whole batch. So
    loss and gradient are those of the whole batch. Running statistics and the states
    of random generators are handed from piece to piece, in turn of each view, and move
    once: both passes of a piece draw the same numbers.

    Args:
        parts: list of the models that follow each other, encoder and expander.
        views: tuple of tensors `(batch, height, width, channels)` of this replica, of
            equal shapes. Their pieces of the same images are worked on together, which
            keeps more cores busy than one of them does.
        microbatch_size: int, number of images in a piece, over all replicas; a
            divisor of the global batch. A piece is every n-th image, so that devices
            which hold a block of the batch each have a share in every piece.

    Returns:
        A tensor `(batch, features)` for each view, float32: what the last part gives
        in training.

    Reference:
        Gao, Zhang, Han, Callan, "Scaling Deep Contrastive Learning Batch Size under
        Memory Limited Setup", 2021, https://arxiv.org/abs/2101.06983 (GradCache).
    """
    trained = [v for part in parts for v in part.trainable_variables]
    carried = [v for part in parts for v in part.non_trainable_variables]

    def forward(weights, states, pieces):
        mapping = [*zip(trained, weights), *zip(carried, states)]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            for part in parts:
                pieces = [part(piece, training=True) for piece in pieces]
        refuse_in_pieces(scope.losses)
        return [scope.get_current_value(v) for v in carried], ops.stack(pieces)

    rows = microbatch_size // replicas.num_replicas()
    shape = views[0].shape
    cut = [ops.reshape(view, (rows, -1, *shape[1:])) for view in views]
    states, embeddings = scan_pieces(
        forward,
        [ops.convert_to_tensor(v) for v in trained],
        [ops.copy(v) for v in carried],  # PyTorch assigns in place, before the backward
        lambda index: [view[:, index] for view in cut],  # no copy of all images
        ops.shape(cut[0])[1],
    )
    for variable, state in zip(carried, states):
        variable.assign(state)
    for part in parts:  # TensorFlow's arrays forget it
        shape = part.compute_output_shape(shape)
    embeddings = ops.transpose(embeddings, (1, 2, 0, 3))  # from (pieces, views, rows)
    embeddings = ops.reshape(embeddings, (len(views), -1, shape[-1]))
    return tuple(embeddings[number] for number in range(len(views)))


def check_microbatch_size(microbatch_size, batch_size: int | None = None) -> None:
    """Raises unless batches can be cut into pieces of such a size.

    Args:
        microbatch_size: int, or `None` for whole batches.
        batch_size: int, of the global batch, where it is known.
    """
    if microbatch_size is None:
        return
    count = replicas.num_replicas()
    if type(microbatch_size) is not int or microbatch_size < 1:
        raise ValueError(
            "`microbatch_size` must be a positive integer or None. "
            f"Received: microbatch_size={microbatch_size!r}"
        )
    if microbatch_size % count or (batch_size or 0) % microbatch_size:
        raise ValueError(
            "`microbatch_size` must be a divisor of the batch size and a multiple of "
            f"the number of replicas. Received: microbatch_size={microbatch_size}, "
            f"batch_size={batch_size}, {count} replicas"
        )
