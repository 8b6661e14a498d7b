"""Gradients are summed over replicas before an optimizer clips or checks them.

On JAX and across machines `test_distribution.py` holds the same.
"""

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg.devices import replicas

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="one program on other backends"
)
SGD, AdamW = keras.optimizers.SGD, keras.optimizers.AdamW


def losses(strategy, optimizer, precision="float32"):
    keras.config.set_dtype_policy(precision)
    try:
        with kv.distribution(strategy):
            model = toys.vicreg(views=toys.ShiftedViews(), optimizer=optimizer())
            options = {"batch_size": 16, "epochs": 3, "verbose": 0}
            return model.fit(toys.images(64), **options).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("make", "clip", "precision", "tolerance"),
    [
        (lambda **o: kv.LARS(0.1, **o), {"global_clipnorm": 0.5}, "float32", 1e-5),
        (lambda **o: SGD(0.05, **o), {"clipnorm": 0.1}, "float32", 1e-5),
        (lambda **o: SGD(0.05, **o), {"clipvalue": 0.01}, "float32", 1e-5),
        (
            lambda **o: SGD(0.05, 0.9, **o),
            {"global_clipnorm": 1},
            "mixed_float16",
            5e-3,
        ),
    ],
    ids=["LARS, whole", "each", "values", "loss scale"],
)
def test_clipping_on_replicas_is_that_of_one_device(make, clip, precision, tolerance):
    one = losses("none", lambda: make(**clip), precision)
    two = losses("mirrored", lambda: make(**clip), precision)
    assert two == pytest.approx(one, rel=tolerance)
    free = losses("none", make, precision)
    assert abs(free[-1] - one[-1]) > 10 * tolerance * one[-1]


def step(strategy, optimizer, variable, gradients):
    """A step with a gradient of its own for each replica."""
    import tensorflow as tf

    @tf.function
    def steps():
        def replica():
            which = tf.distribute.get_replica_context().replica_id_in_sync_group
            optimizer.apply([tf.gather(gradients, which)], [variable])

        strategy.run(replica)

    steps()
    return variable.numpy()


def compiled(optimizer):
    """A variable and an optimizer that knows of two replicas."""
    import tensorflow as tf

    with kv.distribution("mirrored"):
        model = toys.vicreg(views=toys.ShiftedViews(), optimizer=optimizer)
        with model.distribute_strategy.scope():
            variable = keras.Variable(np.ones(2, "float32"))
            model.optimizer.build([variable])
    return model.distribute_strategy, model.optimizer, variable, tf


def test_the_whole_gradient_counts():
    """Parts (3, 0) and (0, 4) have the norm 5 together: a tenth of it is left."""
    parts = compiled(SGD(1.0, global_clipnorm=0.5))
    value = step(*parts[:3], np.array([[3, 0], [0, 4]], "float32"))
    np.testing.assert_allclose(value, [1 - 0.3, 1 - 0.4], rtol=1e-6)


def test_a_gradient_that_is_infinite_on_one_replica_alone_is_left_out():
    scaled = keras.optimizers.LossScaleOptimizer(SGD(1.0), initial_scale=8.0)
    *parts, _ = compiled(scaled)
    value = step(*parts, np.array([[0, 8], [8, np.inf]], "float32"))
    np.testing.assert_array_equal(value, [1, 1])
    assert float(parts[1].dynamic_scale.numpy()) == 4
    value = step(*parts, np.array([[0, 8], [8, 8]], "float32"))
    np.testing.assert_allclose(value, [1 - 8 / 4, 1 - 16 / 4])


def test_an_optimizer_is_told_once():
    with kv.distribution("mirrored"):
        model = toys.vicreg(views=toys.ShiftedViews(), optimizer=SGD(0.1))
        told = model.optimizer.apply
        model.compile(model.optimizer)
        assert model.optimizer.apply is told
        replicas.sum_gradients_first(model.optimizer)
        assert model.optimizer.apply is told
