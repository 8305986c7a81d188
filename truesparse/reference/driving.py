"""Another implementation, called with a time limit, its answers checked for their form.

It runs in a thread of its own, which dies with the process: one that hangs is left.
"""

import itertools
import queue
import threading
import traceback
from typing import Any

import numpy as np

from truesparse.reference.protocol import (
    OBSERVED,
    PATTERN,
    Batch,
    Description,
    Tensors,
    TopologyDraws,
    n_layers_of,
    name,
)

Form = dict[str, tuple[int, ...]]


class Failure(Exception):
    """An answer that cannot be compared.

    Parameters
    ----------
    verdict : str
        "raises", "hangs", "not finite" or "wrong form".
    text : str
    """

    def __init__(self, verdict: str, text: str):
        super().__init__(text)
        self.verdict = verdict


class Driver:
    """An implementation of one case.

    Parameters
    ----------
    factory : callable
    case : dict
        Description of the case, with its dtype.
    seconds : float
        Longest time that a call may take.
    """

    def __init__(self, factory: Any, case: Description, seconds: float):
        self.seconds = seconds
        self.shapes = list(itertools.pairwise(case["layer_sizes"]))
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True).start()
        self._implementation = self._call("the factory", factory, case)

    def load(self, state: Tensors) -> None:
        """Replace topology, weights and optimiser state."""
        copies = {key: each.copy() for key, each in state.items()}
        self._method("load", copies)

    def step(self, batch: Batch, before: Tensors) -> Tensors:
        """Take a step from a state; return loss, outputs and gradients."""
        result = self._method("step", batch)
        form: Form = {"loss": ()}
        n = len(batch.targets)
        for index in range(n_layers_of(before)):
            n_out = before[name(index, "bias")].size
            shapes = ((n, n_out), (before[name(index, "weights")].size,), (n_out,))
            for each, shape in zip(OBSERVED, shapes, strict=True):
                form[name(index, each)] = shape
        return _checked("step", result, form)

    def evaluate(self, inputs: Any, targets: np.ndarray) -> Tensors:
        """Return the outputs for samples, and the share that is right."""
        result = self._method("evaluate", inputs, targets)
        form: Form = {"output": (len(targets), self.shapes[-1][1]), "accuracy": ()}
        return _checked("evaluate", result, form)

    def state(self) -> Tensors:
        """Return the present state."""
        result = dict(_is_dict("state", self._method("state")))
        form: Form = {}
        for index, (n_in, n_out) in enumerate(self.shapes):
            form[name(index, "indptr")] = (n_in + 1,)
            form[name(index, "bias")] = (n_out,)
        _checked("state", result, form)
        for index, (_, n_out) in enumerate(self.shapes):
            key = name(index, "indptr")
            nnz = int(_as_array("state", key, result[key])[-1])
            form[name(index, "indices")] = form[name(index, "weights")] = (nnz,)
            for prefix, size in (("", nnz), ("bias_", n_out)):
                for each in ("first", "second"):
                    key = name(index, prefix + each)
                    result.setdefault(key, np.empty(0))
                    has = np.size(result[key]) > 0
                    form[key] = (size if has else 0,)
        return _checked("state", result, form)

    def update_topology(self, update: TopologyDraws) -> Tensors:
        """Update the topology; return the cells dropped and grown."""
        answer = self._method("update_topology", update)
        result = dict(_is_dict("update_topology", answer))
        for index in update.layers:
            for each in ("dropped", "grown"):
                key = name(index, each)
                none = np.empty(0, np.int64)
                array = _as_array("update_topology", key, result.get(key, none))
                if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
                    raise Failure(
                        "wrong form",
                        f"update_topology: {key} must be a vector of whole numbers, "
                        f"got {array.dtype} of shape {array.shape}",
                    )
                result[key] = np.sort(array.astype(np.int64))
        return result

    def _method(self, method: str, *arguments: Any) -> Any:
        call = getattr(self._implementation, method, None)
        if call is None:
            kind = type(self._implementation).__name__
            raise Failure("wrong form", f"{kind} has no method {method}")
        return self._call(method, call, *arguments)

    def _call(self, what: str, call: Any, *arguments: Any) -> Any:
        self._calls.put((call, arguments))
        try:
            answer, error = self._answers.get(timeout=self.seconds)
        except queue.Empty:
            raise Failure(
                "hangs", f"{what} has not returned after {self.seconds:g} s"
            ) from None
        if error:
            raise Failure("raises", f"{what} raises {error}")
        return answer

    def _serve(self) -> None:
        while True:
            call, arguments = self._calls.get()
            try:
                answer, error = call(*arguments), ""
            except BaseException as fault:  # whatever it is, it is the answer
                lines = traceback.format_exception_only(fault)
                last = traceback.extract_tb(fault.__traceback__)[-1]
                place = f"{last.filename}:{last.lineno}"
                answer, error = None, f"{lines[-1].strip()} at {place}"
            self._answers.put((answer, error))


def _is_dict(method: str, result: Any) -> dict[str, Any]:
    if not isinstance(result, dict):
        kind = type(result).__name__
        raise Failure("wrong form", f"{method} returns {kind}, not a dict of arrays")
    return result


def _as_array(method: str, key: str, item: Any) -> np.ndarray:
    """Return an array of an answer; torch has tensors that are none."""
    try:
        return np.asarray(item)
    except Exception as error:
        kind = type(item).__name__
        raise Failure(
            "wrong form", f"{method}: {key}, a {kind}, is no array: {error}"
        ) from None


def _checked(method: str, result: Any, form: Form) -> Tensors:
    """Return the arrays of an answer, if all are there, of their shapes, and finite."""
    _is_dict(method, result)
    arrays = {}
    for key, shape in form.items():
        if key not in result:
            raise Failure("wrong form", f"{method} returns no {key}")
        array = _as_array(method, key, result[key])
        if array.shape != shape:
            raise Failure(
                "wrong form", f"{method}: {key} has shape {array.shape}, not {shape}"
            )
        if array.dtype.kind not in "iuf":
            raise Failure("wrong form", f"{method}: {key} is {array.dtype}")
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise Failure(
                "not finite", f"{method}: {key} holds {bad} NaN or infinite numbers"
            )
        is_index = key.rpartition(".")[2] in PATTERN
        arrays[key] = array if is_index else array.astype(np.float64)
    return arrays
