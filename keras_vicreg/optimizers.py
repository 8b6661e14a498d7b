"""LARS, the learning-rate schedule and the learning rates of the paper."""

import math

import keras
from keras import ops

from keras_vicreg.finite import check_finite


def decays(variable) -> bool:
    """Whether weight decay is for a variable: for no bias and no normalization's."""
    return len(variable.shape) > 1


@keras.saving.register_keras_serializable(package="keras_vicreg")
class LARS(keras.optimizers.Optimizer):
    """Layer-wise adaptive rate scaling, SGD for large batches.

    For a parameter p with gradient g, `d = g + weight_decay * p` is multiplied by the
    trust ratio `trust_coefficient * ||p|| / ||d||` (by 1 where either norm is 0) and
    then enters the momentum buffer, `m = momentum * m + d`, `p -= learning_rate * m`.
    Biases and the parameters of normalization layers take part in neither weight
    decay nor adaptation.

    Args:
        learning_rate: a float, or a schedule such as `kv.warmup_cosine(...)`. For
            VICReg see `kv.recommended_learning_rate`.
        momentum: float in 0..1. Defaults to 0.9.
        weight_decay: float, added to the gradient as `weight_decay * p`. Defaults to
            0; the paper has 1e-6.
        trust_coefficient: float, eta in the literature. Defaults to 0.001.
        exclude: sequence of strings; a variable is left out of decay and adaptation
            when its path contains one of them. Defaults to `None`: all variables of
            rank 0 or 1, which are the biases and the normalization parameters.
        name: name of the optimizer.
        **kwargs: further arguments of `keras.optimizers.Optimizer`, such as
            `global_clipnorm` or `loss_scale_factor`.

    Raises:
        ValueError: if a coefficient is out of its range.

    Example:

    >>> model.compile(kv.LARS(learning_rate=0.5, weight_decay=1e-6))

    Reference:
        You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks",
        https://arxiv.org/abs/1708.03888, in the form of the VICReg authors' code.
    """

    def __init__(
        self,
        learning_rate,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        exclude=None,
        name: str = "lars",
        **kwargs,
    ):
        if not 0 <= momentum < 1:
            raise ValueError(
                f"`momentum` must be in [0, 1). Received: momentum={momentum!r}"
            )
        check_finite("weight_decay", weight_decay)
        check_finite("trust_coefficient", trust_coefficient)
        if isinstance(exclude, str):
            raise ValueError(
                "`exclude` must be a sequence of strings or None. "
                f"Received: exclude={exclude!r}"
            )
        if not callable(learning_rate):  # a schedule is
            check_finite("learning_rate", learning_rate)
            learning_rate = float(learning_rate)
        # The base class would decay weights apart from the gradient: not this rule's.
        super().__init__(learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.coupled_weight_decay = weight_decay
        self.trust_coefficient = trust_coefficient
        self.exclude = None if exclude is None else tuple(exclude)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.buffers = self.add_optimizer_variables(variables, "momentum")

    def is_excluded(self, variable) -> bool:
        """Whether a variable takes part in neither decay nor adaptation."""
        if self.exclude is None:
            return not decays(variable)
        return any(part in variable.path for part in self.exclude)

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        if not self.is_excluded(variable):
            gradient = gradient + self.coupled_weight_decay * variable
            size = ops.sqrt(ops.sum(ops.square(variable)))
            slope = ops.sqrt(ops.sum(ops.square(gradient)))
            known = ops.logical_and(size > 0, slope > 0)
            ratio = self.trust_coefficient * size / ops.where(known, slope, 1.0)
            gradient = gradient * ops.where(known, ratio, 1.0)
        buffer = self.buffers[self._get_variable_index(variable)]
        self.assign(buffer, self.momentum * buffer + gradient)
        self.assign_sub(variable, learning_rate * buffer)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "weight_decay": self.coupled_weight_decay,
            "trust_coefficient": self.trust_coefficient,
            "exclude": self.exclude,
        }


def warmup_cosine(
    peak: float, total_steps: int, warmup_steps: int, final_ratio: float = 0.001
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up from 0, then a cosine down to a fraction of the peak, by step.

    Args:
        peak: float, the learning rate at the end of the warm-up.
        total_steps: int, number of training steps, warm-up included.
        warmup_steps: int, at least 0, less than `total_steps`. The paper warms up for
            10 epochs.
        final_ratio: float in 0..1, the last learning rate over the peak. Defaults to
            0.001.

    Returns:
        A `keras.optimizers.schedules.CosineDecay`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> schedule = kv.warmup_cosine(0.5, total_steps=1200, warmup_steps=120)
    >>> model.compile(kv.LARS(schedule))

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, section 4.2.
    """
    if not 0 <= warmup_steps < total_steps < math.inf:
        raise ValueError(
            "`warmup_steps` must be at least 0 and less than `total_steps`. Received: "
            f"warmup_steps={warmup_steps}, total_steps={total_steps}"
        )
    check_finite("peak", peak, positive=True)
    if not 0 <= final_ratio <= 1:
        raise ValueError(
            f"`final_ratio` must be in 0..1. Received: final_ratio={final_ratio}"
        )
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else float(peak),
        decay_steps=total_steps - warmup_steps,
        alpha=final_ratio,
        warmup_target=float(peak) if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


# Base learning rates at 100 epochs by batch size; they are multiplied by batch / 256.
BASE_LEARNING_RATES = {128: 0.8, 256: 0.5, 512: 0.4, 2048: 0.3}


def recommended_learning_rate(batch_size: int, epochs: int) -> float:
    """The peak learning rate of LARS for VICReg at a batch size and length of run.

    The paper's base rates are 0.8, 0.5 and 0.4 at batches of 128, 256 and 512, and at
    2048 0.3 for 100 epochs and 0.2 for 1000. Between these it is interpolated in the
    logarithms of batch size and epochs, beyond them held; the result is the base rate
    times `batch_size / 256`.

    Args:
        batch_size: int, the global batch, at least 2.
        epochs: int, at least 1.

    Returns:
        The peak for `kv.warmup_cosine`, a float.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> kv.recommended_learning_rate(batch_size=2048, epochs=1000)
    1.6

    Reference:
        Bardes, Ponce, LeCun, "VICReg", ICLR 2022, section 4.2 and the table of batch
        sizes in the appendix.
    """
    if not (2 <= batch_size < math.inf and 1 <= epochs < math.inf):
        raise ValueError(
            "`batch_size` must be at least 2 and `epochs` at least 1. "
            f"Received: batch_size={batch_size}, epochs={epochs}"
        )
    sizes = sorted(BASE_LEARNING_RATES)
    size = min(max(batch_size, sizes[0]), sizes[-1])
    upper = next(s for s in sizes if s >= size)
    lower = max(s for s in sizes if s <= size)
    share = math.log(size / lower) / math.log(upper / lower) if upper > lower else 0.0
    base = (
        BASE_LEARNING_RATES[lower] ** (1 - share) * BASE_LEARNING_RATES[upper] ** share
    )
    # From 0.3 at 100 epochs to 0.2 at 1000.
    longer = min(max(math.log10(epochs / 100), 0.0), 1.0)
    return base * (0.2 / 0.3) ** longer * batch_size / 256
