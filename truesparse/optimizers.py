"""Optimisers by name: each turns a learning rate and a step number into a kernel rule.

The arithmetic is in kernels/update.py; the layers hold the optimiser state.
"""

import functools
import math
from dataclasses import dataclass

from truesparse.common.checks import (
    check_at_least_one,
    check_not_negative,
    check_positive,
    check_share_below_one,
    choose,
)
from truesparse.errors import UsageError
from truesparse.kernels import update

DECAYS = ("l2", "decoupled", "set")


@dataclass(frozen=True)
class Optimizer:
    """An optimiser with its parameters.

    Parameters
    ----------
    name : {"sgd", "nesterov", "adam", "adamw", "rmsprop"}
    momentum : float
        Momentum of sgd and nesterov, in [0, 1); with 0 they have no state.
    beta1, beta2 : float
        Decay of Adam's first and second moments, in [0, 1); RMSprop uses `beta2`.
    epsilon : float
        Added to the root of the second moment.
    weight_decay : float
    decay : {"l2", "decoupled", "set"}, optional
        "l2" adds ``weight_decay * w`` to the gradient; "decoupled" subtracts
        ``lr * weight_decay * w`` (Loshchilov and Hutter 2019); "set" subtracts
        ``weight_decay * w``, without the learning rate, like the reference code of
        SET, which shrinks biases too: here they do not decay. By default "decoupled"
        for adamw and "l2" for the others.
    fan_in_limit : float, optional
        Inputs of a neuron above which a layer learns more slowly, at the learning rate
        times ``fan_in_limit / fan_in``. The change of a neuron in one step grows with
        its number of inputs: a rate that suits 1000 inputs diverges at 500,000 (Yang
        and Hu, Tensor Programs IV, 2021, section 5).
    powerprop : float
        Power alpha of Powerpropagation (Schwarz, Jayakumar, Pascanu, Latham and Teh,
        NeurIPS 2021, section 2), at least 1; 1 is without it. A weight w stands for
        theta |theta|**(alpha - 1), and a step is one of theta: large weights learn
        fast, small ones hardly at all, so that more of them can be removed. The model
        and its files hold w, as initialised. Momentum and weight decay are those of
        theta; biases have none. A weight of exactly 0 stays 0: give the topology a
        `regrow_init` that draws new weights. Departures: `clip_norm` of a run limits
        the gradient of w, and what a topology does to weights itself (deepr's penalty,
        top_kast's pool) it does to w.

    Examples
    --------
    >>> from truesparse.optimizers import Optimizer
    >>> Optimizer("sgd", momentum=0.5).rule(lr=0.1, step=0).momentum
    0.5
    """

    name: str = "sgd"
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decay: str | None = None
    fan_in_limit: float | None = None
    powerprop: float = 1.0

    def __post_init__(self):
        choose(self.name, OPTIMIZERS, "optimizer")
        check_share_below_one(
            momentum=self.momentum, beta1=self.beta1, beta2=self.beta2
        )
        check_positive(epsilon=self.epsilon, powerprop=self.powerprop)
        check_at_least_one(powerprop=self.powerprop)
        check_not_negative(weight_decay=self.weight_decay)
        if self.fan_in_limit is not None:
            check_at_least_one(fan_in_limit=self.fan_in_limit)
        if self.decay is not None:
            choose(self.decay, DECAYS, "decay")

    @property
    def needs_first(self) -> bool:
        """Whether every weight has a first moment."""
        return self._method in (update.Momentum, update.Nesterov, update.Adam)

    @property
    def needs_second(self) -> bool:
        """Whether every weight has a second moment."""
        return self._method in (update.Adam, update.RmsProp)

    @property
    def needs(self) -> tuple[bool, bool]:
        """Whether every weight has a first moment and whether it has a second one."""
        return self.needs_first, self.needs_second

    @functools.cached_property
    def _method(self) -> type:
        method = OPTIMIZERS[self.name]
        has_momentum = method in (update.Momentum, update.Nesterov)
        return update.Sgd if has_momentum and self.momentum == 0.0 else method

    def rule(self, lr: float, step: int, fan_in: float = 1.0) -> update.Rule:
        """Return the kernel rule of one step for the weights of a layer.

        Parameters
        ----------
        lr : float
        step : int
            Number of steps before this one, for Adam's bias correction.
        fan_in : float
            Mean number of inputs of the layer's neurons.
        """
        if self.fan_in_limit is not None:
            lr *= min(1.0, self.fan_in_limit / max(fan_in, 1.0))
        rule = self._rule(lr, step, self.weight_decay)
        if self.powerprop == 1.0:
            return rule
        return update.POWERED[type(rule)](*rule, self.powerprop)

    def bias_rule(self, lr: float, step: int) -> update.Rule:
        """Return the kernel rule of one step for biases, which do not decay."""
        return self._rule(lr, step, 0.0)

    def _rule(self, lr: float, step: int, amount: float) -> update.Plain:
        kind = self.decay or ("decoupled" if self.name == "adamw" else "l2")
        l2 = amount if kind == "l2" else 0.0
        shrink = {"l2": 0.0, "decoupled": lr * amount, "set": amount}[kind]
        method = self._method
        if method is update.Adam:
            return update.Adam(
                lr / (1.0 - self.beta1 ** (step + 1)),
                l2,
                shrink,
                self.beta1,
                self.beta2,
                self.epsilon,
                1.0 / math.sqrt(1.0 - self.beta2 ** (step + 1)),
            )
        if method is update.RmsProp:
            return update.RmsProp(lr, l2, shrink, self.beta2, self.epsilon)
        if method is update.Sgd:
            return update.Sgd(lr, l2, shrink)
        return method(lr, l2, shrink, self.momentum)


OPTIMIZERS: dict[str, type] = {
    "sgd": update.Momentum,
    "nesterov": update.Nesterov,
    "adam": update.Adam,
    "adamw": update.Adam,
    "rmsprop": update.RmsProp,
}


def as_optimizer(given: Optimizer | str) -> Optimizer:
    """Return an optimiser, by its name or as it is.

    Raises
    ------
    UsageError
        If `given` is neither.
    """
    optimizer = Optimizer(given) if isinstance(given, str) else given
    if not isinstance(optimizer, Optimizer):
        raise UsageError(f"optimizer must be a name or an Optimizer, got {given!r}")
    return optimizer
