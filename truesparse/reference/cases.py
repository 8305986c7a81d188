"""The runs of a kit: each case is a net, its hyperparameters and data.

Eight cases cover every topology algorithm, optimiser, weight decay, activation, loss
and kind of input between them, and dropout, in three sizes.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.activations import layer_activation
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.reference.protocol import Description
from truesparse.topology import ALGORITHMS, TopologyAlgorithm, UpdateSchedule

# Layers, share of the cells that are connected, batch size, batches of an epoch, of
# which the last one is half as large.
SIZES: dict[str, tuple[tuple[int, ...], float, int, int]] = {
    "small": ((12, 16, 4), 0.25, 5, 2),
    "mnist": ((784, 1000, 1000, 1000, 10), 0.02, 64, 8),
    "cifar": ((3072, 4000, 4000, 4000, 10), 0.005, 64, 8),
}
_TEST_SAMPLES = 32


@dataclass(frozen=True)
class Case:
    """One run.

    Parameters
    ----------
    name, topology : str
    options : dict
        Options of the topology algorithm, but for the schedule.
    optimizer : str
    decay : {"l2", "decoupled", "set"}
    activation : {"relu", "all_relu", "gelu"}
    loss : {"softmax", "logistic"}
    sparse_input : bool
    dropout : float
    init_topology : str
    size : str
        One of SIZES.
    n_steps, seed : int
    """

    name: str
    topology: str
    options: dict[str, Any] = field(default_factory=dict)
    optimizer: str = "sgd"
    decay: str = "l2"
    activation: str = "relu"
    loss: str = "softmax"
    sparse_input: bool = False
    dropout: float = 0.0
    init_topology: str = "erdos_renyi"
    size: str = "small"
    n_steps: int = 50
    seed: int = 7

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Neurons of every layer."""
        return SIZES[self.size][0]

    @property
    def batch_size(self) -> int:
        """Samples of a whole batch."""
        return SIZES[self.size][2]

    @property
    def lr(self) -> float:
        """Learning rate."""
        return 0.01 if self.optimizer.startswith("adam") else 0.05

    @property
    def every(self) -> int:
        """Steps from one topology update to the next."""
        return max(2, self.n_steps // 5)

    def make_optimizer(self) -> Optimizer:
        """Return the optimiser."""
        return Optimizer(self.optimizer, weight_decay=0.02, decay=self.decay)

    def make_topology(self, observer: type | None = None) -> TopologyAlgorithm:
        """Return the topology algorithm, with the methods of an observer before its."""
        options = dict(self.options)
        if self.topology not in ("static", "snip"):
            options["schedule"] = UpdateSchedule(self.every, "step", self.every)
        algorithm = ALGORITHMS[self.topology]
        if observer is not None:
            algorithm = type(f"Observed{algorithm.__name__}", (observer, algorithm), {})
        return algorithm(**options)

    def make_model(self, dtype: str = "float64") -> SparseMLP:
        """Return the net at the start; initial weights are exact in float32."""
        settings: dict[str, Any] = {
            "activation": self.activation,
            "loss": self.loss,
            "dropout": self.dropout,
            "seed": self.seed,
        }
        drawn = SparseMLP(
            self.layer_sizes,
            density=SIZES[self.size][1],
            init_topology=self.init_topology,
            dtype="float32",
            **settings,
        )
        if dtype == "float32":
            return drawn
        weights = [each.astype(np.float64) for each in drawn.to_scipy()]
        return SparseMLP.from_sparse(weights, dtype="float64", **settings)

    def make_data(self) -> tuple[Any, np.ndarray, Any, np.ndarray]:
        """Return inputs and targets to train on, then to test on.

        Inputs are exact in float32. Rows of classes differ in their mean.
        """
        n = SIZES[self.size][3] * self.batch_size - self.batch_size // 2
        n_in, n_out = self.layer_sizes[0], self.layer_sizes[-1]
        draw = np.random.default_rng([self.seed, n_in, self.sparse_input])
        total = n + _TEST_SAMPLES
        labels = draw.integers(0, n_out, total)
        centres = draw.standard_normal((n_out, n_in))
        X = centres[labels] + draw.standard_normal((total, n_in))
        X = (X / 2.0).astype(np.float32).astype(np.float64)
        if self.sparse_input:
            X *= draw.random(X.shape) < 0.3
        y: np.ndarray = labels.astype(np.int32)
        if self.loss == "logistic":
            y = (draw.random((n_out, n_out)) < 0.5)[labels].astype(np.float64)
        train, test = X[:n], X[n:]
        if self.sparse_input:
            train, test = scipy.sparse.csr_array(train), scipy.sparse.csr_array(test)
        return train, y[:n], test, y[n:]

    def describe(self) -> Description:
        """Return what case.json holds, and what a factory gets."""
        optimizer = self.make_optimizer()
        hidden = len(self.layer_sizes) - 2
        return {
            "name": self.name,
            "size": self.size,
            "layer_sizes": list(self.layer_sizes),
            "activation": self.activation,
            "parameters": [
                layer_activation(self.activation, layer).parameter
                for layer in range(hidden)
            ],
            "loss": self.loss,
            "dropout": self.dropout,
            "sparse_input": self.sparse_input,
            "init_topology": self.init_topology,
            "optimizer": self.optimizer,
            "momentum": optimizer.momentum,
            "beta1": optimizer.beta1,
            "beta2": optimizer.beta2,
            "epsilon": optimizer.epsilon,
            "weight_decay": optimizer.weight_decay,
            "decay": self.decay,
            "lr": self.lr,
            "batch_size": self.batch_size,
            "topology": self.topology,
            "options": self.options,
            "update_every": self.every,
            "frozen_biases": self.topology == "snip",
            "n_steps": self.n_steps,
            "seed": self.seed,
        }

    @classmethod
    def from_description(cls, text: Description) -> "Case":
        """Return the case that a description is of."""
        names = [each.name for each in dataclasses.fields(cls)]
        return cls(**{name: text[name] for name in names})


# The output layer takes part, so that small nets have two layers that change. Updates
# go on to the end, so that those of a short run replace connections.
_ALL = {"evolve_output": True}
_TO_END = {**_ALL, "decay_end": 1.0}
CASES = (
    Case("set", "set", _ALL),
    Case("rigl", "rigl", _TO_END, "nesterov", "decoupled", "all_relu"),
    Case("static", "static", {}, "adam", "l2", "gelu", "logistic", True),
    Case("dsr", "dsr", {**_ALL, "threshold": 0.1}, "adamw", "decoupled", dropout=0.25),
    Case(
        "ggr",
        "ggr",
        {**_TO_END, "zeta": 0.3},
        "sgd",
        "set",
        "all_relu",
        dropout=0.25,
    ),
    Case(
        *("srigl", "srigl", _TO_END, "nesterov", "l2", "gelu"),
        init_topology="constant_fan_in",
    ),
    Case("cht", "cht", {**_ALL, "zeta": 0.2}, "adam", "l2", "relu", "logistic"),
    Case("snip", "snip", {}, "adamw", "decoupled", "gelu", sparse_input=True),
)


def choose_cases(names: list[str] | None, size: str, n_steps: int) -> list[Case]:
    """Return the cases of these names, by default all, in one size.

    Raises
    ------
    UsageError
        If there is no such case or size.
    """
    known = {case.name: case for case in CASES}
    unknown = [each for each in names or () if each not in known]
    if unknown:
        raise UsageError(
            f"there is no case {unknown[0]!r}; give one of {', '.join(known)}"
        )
    if size not in SIZES:
        raise UsageError(f"there is no size {size!r}; give one of {', '.join(SIZES)}")
    chosen = [known[each] for each in names or known]
    return [dataclasses.replace(each, size=size, n_steps=n_steps) for each in chosen]
