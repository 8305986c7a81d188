"""SparseMLP as it is timed: the net of a user, built, trained, asked and updated."""

from typing import Any

import numpy as np

import truesparse
from truesparse import topology
from truesparse.commands.shell import start_engine
from truesparse.errors import UsageError
from truesparse.kernels import jit
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.reference.baseline.machine_record import HostPeak
from truesparse.reference.baseline.timed_nets import TimedNet
from truesparse.topology import Batches, UpdateContext

MOMENTUM = 0.9
# Small enough that thousands of steps on one batch neither diverge nor drive the
# gradients into subnormal numbers, which would slow some implementations and not
# others.
LEARNING_RATE = 0.01
_SAMPLES = 1024


class Engine:
    """SparseMLP, for timing; see `timing.Runner` for what the methods are.

    Parameters
    ----------
    net : TimedNet
    threads : int
    device : {"cpu"}
    """

    methods = None  # all that there are
    activation_dtypes = ("float32", "bfloat16")

    def __init__(self, net: TimedNet, threads: int, device: str = "cpu"):
        if device != "cpu":
            raise UsageError(f"this engine runs on the cpu only, got {device}")
        self._threads = start_engine(threads)
        self._net = net
        draw = np.random.default_rng(0)
        n_in, n_classes = net.sizes[0], net.sizes[-1]
        self._x = draw.standard_normal((_SAMPLES, n_in), dtype=np.float32)
        self._targets = draw.integers(0, n_classes, _SAMPLES).astype(np.int32)
        self._optimizer = Optimizer("sgd", momentum=MOMENTUM)
        self._model: SparseMLP | None = None
        self._peak = HostPeak()

    def implementation(self) -> dict[str, Any]:
        """Return name, version, device and threads."""
        return {
            "name": "truesparse",
            "version": truesparse.__version__,
            "device": "cpu",
            "device_name": None,
            "threads": self._threads,
            "memory_of": "host",
            "is_compiled": not jit.DISABLED,
        }

    @property
    def n_connections(self) -> int:
        """Connections of the net that was built."""
        return self._built().nnz

    def clear(self) -> None:
        """Free the net."""
        self._model = None

    def build(self, method: str | None, activation_dtype: str = "float32") -> None:
        """Draw topology and weights, and allocate what training needs."""
        net = self._net
        model = SparseMLP(
            net.sizes,
            epsilon=net.epsilon,
            init_topology=net.pattern,
            activation_dtype=activation_dtype,
            seed=0,
        )
        model.allocate_moments(self._optimizer)
        model.prepare(net.batch)
        self._model = model
        self._algorithm = topology.make(method or "static")
        samples = np.arange(_SAMPLES)
        self._batches = Batches(model, self._x, self._targets, samples, net.batch)
        self._algorithm.begin(model, self._batches)

    def predict(self, batch: int) -> None:
        """Return the outputs for the first samples."""
        self._built().decision_function(self._x[:batch], batch)

    def train(self) -> None:
        """Take one optimiser step."""
        model, batch = self._built(), self._net.batch
        samples = np.arange(batch) + batch * (model.step % (_SAMPLES // batch))
        model.train_batch(
            self._x, self._targets, samples, self._optimizer, LEARNING_RATE
        )

    def update(self) -> None:
        """Update the topology, as early in a long run."""
        model = self._built()
        where = UpdateContext(
            0, model.step, 1, 10**6, 10**3, lr=LEARNING_RATE, score=0.5
        )
        self._algorithm.update(model, where, self._batches)

    def finish(self) -> None:
        """Return at once: every call has done its work when it returns."""

    def reset_peak(self) -> None:
        """Count the most memory held from now on."""
        self._peak.reset()

    def peak_bytes(self) -> int | None:
        """Return the most memory held since `reset_peak`, None where unknown."""
        return self._peak.read()

    def _built(self) -> SparseMLP:
        if self._model is None:
            raise UsageError("there is no net yet: call build first")
        return self._model
