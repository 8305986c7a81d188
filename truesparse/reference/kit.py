"""Files of a kit: layout, manifest, digests.

    manifest.json                 version, machine, cases, rules, digest of every file
    CASE/case.json                hyperparameters, the updates, the accuracy at the end
    CASE/start.safetensors        state before the first step, data, samples of a step
    CASE/float64.safetensors      the truth: what each step and update did
    CASE/float32.safetensors      the same steps of this engine in float32

FORMAT.md lists the names of the arrays. Empty arrays are left out.
"""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import scipy.sparse

from truesparse.errors import DataError
from truesparse.reference.protocol import (
    PATTERN,
    TRAINED,
    Batch,
    Description,
    Tensors,
    TopologyDraws,
    n_layers_of,
    name,
)

VERSION = 3
MANIFEST = "manifest.json"
DTYPES = ("float64", "float32")


def digest_of(path: pathlib.Path) -> str:
    """Return the blake2b digest of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.blake2b(digest_size=32)
        ).hexdigest()


def write_json(path: pathlib.Path, content: Any) -> None:
    """Write JSON with a line for each entry of the upper levels."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_arrays(path: pathlib.Path, tensors: Tensors) -> None:
    """Write all arrays but empty ones."""
    filled = {k: np.asarray(a, order="C") for k, a in tensors.items() if a.size}
    safetensors.numpy.save_file(filled, path)


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    """Return the arrays with a prefix before their names."""
    return {f"{prefix}.{key}": each for key, each in tensors.items()}


class Kit:
    """A kit that is read.

    Parameters
    ----------
    folder : str or path

    Raises
    ------
    DataError
        If it is no kit, of another version, cut off, or changed since it was written.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        path = self.folder / MANIFEST
        try:
            self.manifest = json.loads(path.read_text(encoding="utf-8"))
            version, files = self.manifest["version"], self.manifest["files"]
            self.names = list(self.manifest["cases"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DataError(
                f"{folder} is not a kit: cannot read {MANIFEST}: {error}; give a "
                "folder that python -m truesparse.reference write has written"
            ) from None
        if version != VERSION:
            raise DataError(
                f"kit {folder} has version {version}, but this program reads "
                f"{VERSION}; write the kit again, or take the truesparse of its "
                f"manifest, {self.manifest.get('truesparse', 'unknown')}"
            )
        for each, digest in files.items():
            self._verify(each, digest)

    def _verify(self, file: str, expected: str) -> None:
        path = self.folder / file
        if not path.is_file():
            raise DataError(f"kit {self.folder} lacks {file}; take another copy")
        if (actual := digest_of(path)) != expected:
            size = path.stat().st_size
            raise DataError(
                f"{path} ({size} bytes) is cut off or has changed since it was "
                f"written: its digest is {actual[:12]}..., not {expected[:12]}...; "
                "take another copy of the kit"
            )

    def case(self, case: str) -> "KitCase":
        """Return one case."""
        return KitCase(self.folder / case)


class KitCase:
    """One case of a kit.

    Attributes
    ----------
    description : dict
    """

    def __init__(self, folder: pathlib.Path):
        text = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        self.description: Description = text["case"]
        self.updates: dict[int, dict[str, Any]] = {
            each["step"]: each for each in text["updates"]
        }
        self.accuracy: float = text["accuracy"]
        self.start = _read(folder / "start.safetensors")
        self._folder = folder
        self._traces: dict[str, Tensors] = {}

    @property
    def n_steps(self) -> int:
        """Steps of the run."""
        return self.description["n_steps"]

    @property
    def initial(self) -> Tensors:
        """State before the first step; the optimiser's state is zero."""
        state = _part(self.start, "initial.")
        moments = ["first"]
        if self.description["optimizer"].startswith("adam"):
            moments.append("second")
        for index in range(n_layers_of(state)):
            for each in moments:
                for key, of in ((each, "weights"), (f"bias_{each}", "bias")):
                    zeros = np.zeros_like(state[name(index, of)])
                    state[name(index, key)] = zeros
        return _complete(state)

    @property
    def test(self) -> tuple[Any, np.ndarray]:
        """Inputs and targets of the test part."""
        return self._inputs("test.inputs"), self.start["test.targets"]

    def trace(self, dtype: str) -> Tensors:
        """Return all arrays of the run in a dtype."""
        if dtype not in self._traces:
            self._traces[dtype] = _read(self._folder / f"{dtype}.safetensors")
        return self._traces[dtype]

    def observed(self, step: int, dtype: str = "float64") -> Tensors:
        """Return loss, outputs and gradients of a step."""
        return _part(self.trace(dtype), f"step.{step}.")

    def after(self, step: int, dtype: str = "float64") -> Tensors:
        """Return the state after a step, before the update that may follow."""
        return _complete(self._with_pattern(_part(self.trace(dtype), f"after.{step}.")))

    def _with_pattern(self, state: Tensors) -> Tensors:
        """Add the pattern, which the file holds only where it changes."""
        step = int(state.pop("pattern_since"))
        source = self.initial if step < 0 else self.updated(step)
        keys = [key for key in source if key.rpartition(".")[2] in PATTERN]
        return {key: source[key] for key in keys} | state

    def updated(self, step: int) -> Tensors:
        """Return the state after the update that follows `step` steps."""
        return _complete(_part(self.trace("float64"), f"updated.{step}."))

    def before(self, step: int) -> Tensors:
        """Return the state from which step number `step` starts, counted from 0."""
        if step in self.updates:
            return self.updated(step)
        return self.initial if step == 0 else self.after(step - 1)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        return self._batch(f"step.{step}", step)

    def update(self, step: int) -> tuple[TopologyDraws, Tensors]:
        """Return what an update depends on, and what it did."""
        trace = self.trace("float64")
        text = self.updates[step]
        draws = _part(trace, f"draws.{step}.")
        for index in text["layers"]:
            draws.setdefault(name(index, "ranks"), np.empty(0, np.int64))
        batch = None
        if f"update.{step}.samples" in self.start:
            batch = self._batch(f"update.{step}", step)
        given = TopologyDraws(step, text["fraction"], text["layers"], draws, batch)
        done = _part(trace, f"update.{step}.")
        for index in text["layers"]:
            for what in ("dropped", "grown"):
                done.setdefault(name(index, what), np.empty(0, np.int64))
        return given, done

    def _batch(self, what: str, step: int) -> Batch:
        samples = self.start[f"{what}.samples"]
        inputs, targets = self._inputs("inputs")[samples], self.start["targets"]
        keys = self.start[f"{what}.keys"].astype(np.uint32)
        return Batch(inputs, targets[samples], step, keys)

    def _inputs(self, what: str) -> Any:
        """Return inputs, an array or a csr_array, in float64."""
        if what in self.start:
            return self.start[what].astype(np.float64)
        parts = [self.start[f"{what}.{each}"] for each in ("values", *PATTERN[::-1])]
        shape = parts[2].size - 1, self.description["layer_sizes"][0]
        return scipy.sparse.csr_array(tuple(parts), shape=shape).astype(np.float64)


def _part(tensors: Tensors, prefix: str) -> Tensors:
    n = len(prefix)
    return {key[n:]: each for key, each in tensors.items() if key.startswith(prefix)}


def _complete(state: Tensors) -> Tensors:
    """Add the empty arrays, which files leave out."""
    for index in range(n_layers_of(state)):
        dtype = state[name(index, "bias")].dtype
        for each in TRAINED:
            state.setdefault(name(index, each), np.empty(0, dtype))
        state.setdefault(name(index, "indices"), np.empty(0, np.int32))
    return state


def _read(path: pathlib.Path) -> Tensors:
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"cannot read {path}: {error}; take another copy") from None
