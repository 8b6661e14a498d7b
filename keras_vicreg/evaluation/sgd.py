"""SGD as the VICReg authors evaluate with it: two rates, and a cosine by epoch."""

import math

import keras
from keras import ops

MOMENTUM = 0.9


def cosine_by_epoch(peak: float, epoch: int, epochs: int) -> float:
    """Learning rate of an epoch, 0 the first: constant in it, 0 after the last."""
    return peak * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


class TwoRateSGD(keras.optimizers.Optimizer):
    """SGD with one learning rate for the head and another one for the encoder.

    The rule is PyTorch's: `d = g + weight_decay * p`, `m = 0.9 * m + d`,
    `p -= rate * m`. Keras's own SGD has the learning rate inside the momentum, which
    differs where the rate changes, and decays weights apart from the gradient.

    Args:
        learning_rate: float, of all variables but the encoder's.
        encoder_ratio: float, the encoder's learning rate over the others'.
        encoder: the encoder's variables.
        weight_decay: float.
    """

    def __init__(
        self, learning_rate: float, encoder_ratio: float, encoder, weight_decay: float
    ):
        super().__init__(learning_rate, name="two_rate_sgd")
        self.encoder_ratio = encoder_ratio
        self.encoder = {id(variable) for variable in encoder}
        self.coupled_weight_decay = weight_decay  # Keras's `weight_decay` is decoupled

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.buffers = self.add_optimizer_variables(variables, "momentum")
        self.ratios = [
            self.encoder_ratio if id(variable) in self.encoder else 1.0
            for variable in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self.ratios[index]
        change = ops.cast(gradient, variable.dtype)
        change = change + self.coupled_weight_decay * variable
        buffer = self.buffers[index]
        self.assign(buffer, MOMENTUM * buffer + change)
        self.assign_sub(variable, rate * buffer)
