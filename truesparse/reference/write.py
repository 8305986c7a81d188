"""Command line: write a kit of golden runs.

python -m truesparse.reference write DIR [--case NAME ...] [--size SIZE] [--steps N]
"""

import pathlib
import platform
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.commands.shell import CommandParser, run_command, say
from truesparse.common import rng
from truesparse.common.checks import check_whole
from truesparse.errors import UsageError
from truesparse.reference import kit
from truesparse.reference.cases import CASES, SIZES, Case, choose_cases
from truesparse.reference.protocol import PATTERN, Batch, Tensors, cast
from truesparse.reference.this_engine import ThisEngine, dropout_keys, state_of
from truesparse.topology import Batches, UpdateContext

# The optimiser's state is zero at the start.
_INITIAL = (*PATTERN, "weights", "bias")
TIE_BREAKS = {
    "dropped": "of equal magnitudes the one of lowest key goes",
    "gradient": "of equal gradients the one of highest key grows; srigl: of lowest row",
    "paths": "of equal scores those that draws call ties grow",
    "shares": "of equal remainders the first layer gets one more",
    "snip": "of equal sensitivities the first layers lose theirs, then the lowest key",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(_main, arguments)


def _main(words: list[str]) -> None:
    parser = CommandParser(
        "truesparse.reference write", "Write a kit of golden runs.", codes=(2, 7)
    )
    names = ", ".join(case.name for case in CASES)
    parser.add_argument("folder", metavar="DIR", help="an empty folder, or a new one")
    parser.add_argument(
        "--case", action="append", metavar="NAME", help=f"one of {names}; default all"
    )
    parser.add_argument("--size", default="small", choices=list(SIZES))
    parser.add_argument(
        "--truth-only", action="store_true", help="leave float32 out: a third less"
    )
    parser.add_argument("--steps", type=int, default=50, metavar="N")
    options = parser.parse(words)
    n_steps = check_whole("--steps", options.steps, 2)
    cases = choose_cases(options.case, options.size, n_steps)
    write_kit(options.folder, cases, truth_only=options.truth_only)
    say(f"kit: {options.folder}")


def write_kit(folder, cases: list[Case], *, truth_only: bool = False) -> dict[str, Any]:
    """Write a kit and return its manifest.

    Raises
    ------
    UsageError
        If the folder holds files already.
    """
    root = pathlib.Path(folder)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{folder} exists and is not empty; give a new folder")
    for case in cases:
        path = root / case.name
        path.mkdir(parents=True)
        _Writer(case, truth_only).write(path)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    manifest = {
        "version": kit.VERSION,
        "truesparse": version("truesparse"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": {"system": sys.platform, "processor": platform.machine()},
        "seeds": {case.name: case.seed for case in cases},
        "tie_breaks": TIE_BREAKS,
        "cases": [case.name for case in cases],
        "files": {
            path.relative_to(root).as_posix(): kit.digest_of(path) for path in files
        },
    }
    kit.write_json(root / kit.MANIFEST, manifest)
    return manifest


class _Writer:
    """Runs one case in float64, and each of its steps in float32 as well."""

    def __init__(self, case: Case, truth_only: bool):
        self.case = case
        self.train, self.y, self.test, self.y_test = case.make_data()
        description = case.describe()
        dtypes = kit.DTYPES[:1] if truth_only else kit.DTYPES
        self.engines = {
            dtype: ThisEngine({**description, "dtype": dtype}) for dtype in dtypes
        }
        self.truth = self.engines["float64"]
        self.traces: dict[str, Tensors] = {dtype: {} for dtype in dtypes}
        self.start: Tensors = {
            **{"targets": self.y, "test.targets": self.y_test},
            **_inputs("inputs", self.train),
            **_inputs("test.inputs", self.test),
        }
        self.updates: list[dict[str, Any]] = []
        self.pattern_since = -1

    def write(self, folder: pathlib.Path) -> None:
        """Run the case and write its files."""
        case, truth = self.case, self.truth
        model = case.make_model()
        model.allocate_moments(case.make_optimizer())
        truth.load(state_of(model))
        layers = truth.state().items()
        initial = {key: a for key, a in layers if key.split(".")[-1] in _INITIAL}
        self.start |= kit.prefixed("initial", initial)
        self._update(0)
        for step in range(case.n_steps):
            self._step(step)
            self._update(step + 1)
        for dtype, tensors in self.traces.items():
            kit.write_arrays(folder / f"{dtype}.safetensors", tensors)
        kit.write_arrays(folder / "start.safetensors", self.start)
        text = {
            "case": case.describe(),
            "updates": self.updates,
            "accuracy": truth.model.evaluate(self.test, self.y_test)[1],
        }
        kit.write_json(folder / "case.json", text)

    def _step(self, step: int) -> None:
        batch = self._batch(f"step.{step}", step, self._samples(step))
        before = self.truth.state()
        for dtype, engine in self.engines.items():
            trace = self.traces[dtype]
            if engine is not self.truth:
                engine.load(cast(before, dtype))
            trace |= kit.prefixed(f"step.{step}", engine.step(batch))
            state = engine.state()
            trained = {
                k: a for k, a in state.items() if k.split(".")[-1] not in PATTERN
            }
            since = np.array(self.pattern_since)
            after = {"pattern_since": since, **trained}
            trace |= kit.prefixed(f"after.{step}", after)

    def _samples(self, step: int) -> np.ndarray:
        """Return the samples of a step: each epoch has an order of its own."""
        size, n = self.case.batch_size, len(self.y)
        n_batches = -(-n // size)
        first = step - step % n_batches
        draw = rng.stream(self.case.seed, rng.Purpose.SHUFFLE, step=first)
        return draw.permutation(n)[(step - first) * size :][:size]

    def _update(self, step: int) -> None:
        """Update the topology, if it is time."""
        truth, trace = self.truth, self.traces["float64"]
        plan = truth.plan_update(step)
        if plan is None:
            return
        if truth.algorithm.needs_batches:
            samples = self._gradient_samples(step)
            plan = plan._replace(batch=self._batch(f"update.{step}", step, samples))
        done = truth.update_topology(plan)
        notes = truth.algorithm
        trace |= kit.prefixed(f"draws.{step}", {**plan.draws, **notes.drawn})
        trace |= kit.prefixed(f"update.{step}", {**done, **notes.sizes})
        trace |= kit.prefixed(f"updated.{step}", truth.state())
        self.pattern_since = step
        text = {"step": step, "fraction": plan.fraction, "layers": plan.layers}
        self.updates.append(text)

    def _gradient_samples(self, step: int) -> np.ndarray:
        case, model = self.case, self.truth.model
        context = UpdateContext(case.seed, step, 0, case.n_steps, 1)
        source = (self.train, self.y, np.arange(len(self.y)), case.batch_size)
        return next(Batches(model, *source).draw(context, 1))

    def _batch(self, what: str, step: int, samples: np.ndarray) -> Batch:
        keys = dropout_keys(self.case, step)
        self.start[f"{what}.samples"], self.start[f"{what}.keys"] = samples, keys
        rows = self.train[samples]
        return Batch(rows, self.y[samples], step, keys.astype(np.uint32))


def _inputs(what: str, inputs: Any) -> Tensors:
    """Return inputs by their names in a kit; float32 holds them exactly."""
    if not scipy.sparse.issparse(inputs):
        return {what: inputs.astype(np.float32)}
    return {
        f"{what}.indptr": inputs.indptr.astype(np.int64),
        f"{what}.indices": inputs.indices.astype(np.int32),
        f"{what}.values": inputs.data.astype(np.float32),
    }
