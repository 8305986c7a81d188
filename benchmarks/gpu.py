"""Time the implementations in torch on the nets of the reference, on a GPU.

    python -m benchmarks.gpu --out gpu                    all nets, half an hour
    python -m benchmarks.gpu --out cpu --device cpu --quick

    python -m truesparse.reference compare times.json gpu/torch_csr-cuda.json

Each implementation has a file of its own, in the format of TIMES.md; its peak_bytes are
those of the device. Nets are drawn by truesparse, so that pattern and weights are those
of the engine, and moved to the device. Of the updates there is SET. Masks simulate
sparsity with dense arrays: where these do not fit, the file says so.
"""

import itertools
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from truesparse.common import memory
from truesparse.errors import MemoryLimitError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.reference.baseline import times
from truesparse.reference.baseline.engine import LEARNING_RATE, MOMENTUM
from truesparse.reference.baseline.machine_record import HostPeak
from truesparse.reference.baseline.timed_nets import TimedNet
from truesparse.reference.protocol import Description
from truesparse.reference.this_engine import state_of

from .options import names, program
from .peers import PeerUnavailableError
from .peers.torch_peers import load_torch

DEVICES = ("cuda", "cpu")
ZETA = 0.3
# What timed_nets.TimedNet says of every net, as a description of the reference.
CASE: Description = {
    "activation": "relu",
    "loss": "softmax",
    "optimizer": "sgd",
    "momentum": MOMENTUM,
    "lr": LEARNING_RATE,
    "weight_decay": 0.0,
    "decay": "l2",
    "dropout": 0.0,
    "frozen_biases": False,
    "dtype": "float32",
}
_SAMPLES = 1024


class TorchRunner:
    """A net in torch, as truesparse.reference.baseline.timing.Runner has it.

    Parameters
    ----------
    net : TimedNet
    threads : int or None
        Threads of the host; by default as many as there are cores.
    device : {"cuda", "cpu"}
    """

    name: ClassVar[str]
    methods = ("set",)
    activation_dtypes = ("float32",)

    def __init__(self, net: TimedNet, threads: int | None, device: str):
        self.torch = torch = load_torch(threads or os.cpu_count() or 1)
        self.net, self.device = net, torch.device(device)
        self.check_room()
        draw = np.random.default_rng(0)
        x = draw.standard_normal((_SAMPLES, net.sizes[0]), dtype=np.float32)
        labels = draw.integers(0, net.sizes[-1], _SAMPLES)
        self._x = torch.from_numpy(x).to(self.device)
        self._labels = torch.from_numpy(labels).to(self.device)
        self._generator = torch.Generator(self.device).manual_seed(0)
        self._host, self._step = HostPeak(), 0
        self._model: Any = None
        self.n_connections = 0

    def check_room(self) -> None:
        """Raise MemoryLimitError if the net would not fit on the device."""

    def make(self, case: Description) -> Any:
        """Return a driven.Driven without layers."""
        raise NotImplementedError

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def implementation(self) -> dict[str, Any]:
        """Return name, version, device and threads."""
        torch = self.torch
        return {
            "name": self.name,
            "version": torch.__version__,
            "device": self.device.type,
            "device_name": torch.cuda.get_device_name() if self.is_cuda else None,
            "threads": torch.get_num_threads(),
            "memory_of": "device" if self.is_cuda else "host",
            "cuda": torch.version.cuda,
        }

    def clear(self) -> None:
        """Free the net."""
        self._model = None

    def build(self, method: str | None, activation_dtype: str = "float32") -> None:
        """Draw topology and weights by truesparse and move them to the device."""
        net = self.net
        drawn = SparseMLP(
            net.sizes, epsilon=net.epsilon, init_topology=net.pattern, seed=0
        )
        drawn.allocate_moments(Optimizer(CASE["optimizer"], momentum=MOMENTUM))
        self.n_connections = drawn.nnz
        driven = self.make(CASE | {"parameters": [0.0] * (len(net.sizes) - 2)})
        driven.load(state_of(drawn))
        self._model = driven.net

    def predict(self, batch: int) -> None:
        """Work out the outputs for the first samples."""
        self._model.predict(self._x[:batch].t())

    def train(self) -> None:
        """Take one optimiser step and read the loss, as the engine does."""
        batch = self.net.batch
        start = batch * (self._step % (_SAMPLES // batch))
        samples = slice(start, start + batch)
        inputs, labels = self._x[samples].t(), self._labels[samples]
        loss, _, _ = self._model.train(inputs, labels, self._step)
        loss.item()
        self._step += 1

    def update(self) -> None:
        """Update all layers with room by SET."""
        from .reference.set_update import set_update

        for layer in self._model.layers:
            if layer.keys().numel() < layer.shape[0] * layer.shape[1]:
                set_update(layer, ZETA, self._generator)

    def finish(self) -> None:
        """Wait until the device is done."""
        if self.is_cuda:
            self.torch.cuda.synchronize()

    def reset_peak(self) -> None:
        """Count the most memory held from now on."""
        if self.is_cuda:
            self.torch.cuda.reset_peak_memory_stats()
        else:
            self._host.reset()

    def peak_bytes(self) -> int | None:
        """Return the most memory held since `reset_peak`, None where unknown."""
        if self.is_cuda:
            return self.torch.cuda.max_memory_allocated()
        return self._host.read()


class Masked(TorchRunner):
    """Dense weights and a mask."""

    name = "torch_masked"

    def check_room(self) -> None:
        """Raise MemoryLimitError if the dense arrays would not fit on the device."""
        n_cells = sum(a * b for a, b in itertools.pairwise(self.net.sizes))
        # Weights, momentum and the gradient of all layers in 4 bytes, the mask in 1.
        needed = 13 * n_cells
        room = memory.available()[0]
        if self.is_cuda:
            room = self.torch.cuda.mem_get_info()[0]
        if needed > room:
            raise MemoryLimitError(
                f"dense arrays of {n_cells:,} cells need {memory.human(needed)}, and "
                f"{self.device.type} has {memory.human(room)}"
            )

    def make(self, case: Description) -> Any:
        """Return a driven.Driven of masked layers."""
        from .reference.torch_masked import factory

        return factory(case, self.device.type)


class Csr(TorchRunner):
    """CSR products and sampled gradients."""

    name = "torch_csr"

    def make(self, case: Description) -> Any:
        """Return a driven.Driven of CSR layers."""
        from .reference.torch_csr import factory

        return factory(case, self.device.type)


RUNNERS = {runner.name: runner for runner in (Masked, Csr)}


def check_device(device: str) -> None:
    """Raise UsageError unless torch is installed and sees the device."""
    try:
        torch = load_torch(1)
    except PeerUnavailableError as error:
        raise UsageError(f"{error}; pip install '.[bench]'") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"torch {torch.__version__} sees no GPU here; --device cpu measures the "
            "same on the processor"
        )


@program
def main(arguments: list[str] | None = None) -> None:
    """Measure the implementations, each into a file of its own."""
    parser = times.make_parser(
        "benchmarks.gpu", "Time masked and sparse training in torch."
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", required=True, help="one file each"
    )
    parser.add_argument("--device", choices=DEVICES, default="cuda")
    parser.add_argument(
        "--implementations", help=f"some of {', '.join(RUNNERS)} (default: all)"
    )
    words = sys.argv[1:] if arguments is None else arguments
    options = times.read_options(parser, words)
    runners = names(options.implementations, RUNNERS, "implementation")
    check_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    for runner in (RUNNERS[each] for each in runners):
        path = options.out / f"{runner.name}-{options.device}.json"
        text = f"{__package__}.gpu:{runner.__name__}"
        times.collect(str(path), text, options, options.device)
        print(f"times: {path}")


if __name__ == "__main__":
    sys.exit(main())
