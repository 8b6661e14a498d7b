"""What this package computes itself is float32, where devices would round."""

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv

pytestmark = pytest.mark.every_backend

A, B = np.random.default_rng(0).standard_normal((2, 16, 8)).astype("float32")
PROTOTYPES = np.random.default_rng(1).standard_normal((5, 8)).astype("float32")
QUEUES = np.random.default_rng(2).standard_normal((2, 32, 8)).astype("float32")
LOSSES = {
    "VICReg": lambda a, b: kv.vicreg_terms(a, b),
    "VICReg, more features": lambda a, b: kv.vicreg_terms(a.T, b.T),
    "Barlow Twins": lambda a, b: kv.barlow_twins_terms(a, b),
    "Barlow Twins, more features": lambda a, b: kv.barlow_twins_terms(a.T, b.T),
    "SimCLR": lambda a, b: kv.simclr_terms(a, b),
    "MoCo": lambda a, b: kv.moco_terms((a, b), (a, b), QUEUES),
    "SwAV": lambda a, b: kv.swav_terms((a, b), PROTOTYPES),
    "W-MSE": lambda a, b: kv.wmse_terms((a, b), slice_size=16),
}


def products(program) -> list:
    """The precision of each matrix product in a program of JAX, and in its parts."""
    found = []
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            found.append(str(equation.params["precision"]))
        for part in equation.params.values():
            for each in part if isinstance(part, (list, tuple)) else [part]:
                each = getattr(each, "jaxpr", each)
                if hasattr(each, "eqns"):
                    found += products(each)
    return found


def check(function, *inputs):
    if keras.config.backend() != "jax":
        pytest.skip("a program of JAX says what is rounded")
    import jax

    found = products(jax.make_jaxpr(function)(*inputs).jaxpr)
    assert found, "nothing is multiplied"
    assert all("HIGHEST" in precision for precision in found), found


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_gradients_round_no_product(name):
    def value(a, b):
        return sum(LOSSES[name](a, b).values())

    def both(a, b):
        import jax

        return jax.value_and_grad(value, argnums=(0, 1))(a, b)

    check(both, A, B)


@pytest.mark.parametrize("size", [12, 96])
def test_views_round_no_product(size):
    """The blur's banded product too."""
    views = kv.TwoViews(size, recipe="simclr", seed=0)
    check(views, toys.images(4))
