"""One case of a kit: another implementation is driven along the truth.

Each step starts from the kit's state, so that errors do not add up; but the step after
a topology update starts from what the update left, and the bounds go on.
"""

from typing import Any

import numpy as np

from truesparse.reference import reasons
from truesparse.reference.bounds import UNIT, bounds, output_bounds, undecided
from truesparse.reference.divergence import TEST_OUTPUT, UPDATED
from truesparse.reference.driving import Driver, Failure
from truesparse.reference.kit import KitCase
from truesparse.reference.protocol import (
    PATTERN,
    TRAINED,
    Batch,
    Tensors,
    cast,
    keys_of,
    n_layers_of,
    name,
)
from truesparse.reference.replay import Replay, replay, replay_outputs

# Scores nearer to the last one that is chosen, in units of u relative to it, are equal
# but for rounding: a sum of n products of numbers that are off by some dozen u.
_NEAR_TIE = 4096.0


class Comparison:
    """The largest difference of each quantity at each step, and the first departure.

    Parameters
    ----------
    case : KitCase
    driver : Driver
    dtype : {"float64", "float32"}

    Attributes
    ----------
    ratios : dict of str to list of (int, float)
        By quantity, steps and the largest difference in units of the tolerance.
    first : dict or None
        Step, quantity, ratio and reasons of the first departure.
    near_ties : int
        Cells that were chosen otherwise, of nearly equal score.
    """

    def __init__(self, case: KitCase, driver: Driver, dtype: str):
        self.case, self.driver, self.dtype = case, driver, dtype
        self.ratios: dict[str, list[tuple[int, float]]] = {}
        self.first: dict[str, Any] | None = None
        self.near_ties = 0
        self._errors: Tensors | None = None
        self._is_in_step = False

    def run(self) -> None:
        """Drive the implementation through all steps and updates.

        Raises
        ------
        Failure
            If it raises, hangs, or returns what cannot be compared.
        """
        case = self.case
        self._load(case.initial)
        step = 0
        try:
            if 0 in case.updates:
                self._update(0)
            for step in range(case.n_steps):
                if not self._is_in_step:
                    self._load(case.before(step))
                self._is_in_step = False
                self._step(step)
                if step + 1 in case.updates:
                    self._update(step + 1)
            self._evaluate()
        except Failure as failure:
            failure.add_note(f"in step {step + 1}")
            raise

    def _load(self, state: Tensors) -> None:
        self.driver.load(cast(state, self.dtype))
        self._errors = None

    def _step(self, step: int) -> None:
        case = self.case
        before, batch = case.before(step), case.batch(step)
        run = replay(case.description, before, batch)
        known = case.description, before, batch
        limits = bounds(*known, run, self.dtype, self._errors)
        got = self.driver.step(_cast_batch(batch, self.dtype), before)
        state = self.driver.state()
        truth = {**case.observed(step), **case.after(step)}
        got |= state
        is_right = self._same_pattern(step + 1, truth, got)
        for key, bound in limits.items():
            self._note(step + 1, key, reasons.ratio(got[key], truth[key], bound))
            is_right &= self.ratios[_quantity(key)][-1][1] <= 1.0
        if is_right:
            self._errors = {key: limits[key] for key in limits if key in state}
        elif self.first and "reasons" not in self.first:
            texts = reasons.reasons_of_step(*known, got, limits, self.dtype)
            if not texts and step in case.updates:
                texts = [reasons.LEFT_OVER]
            self.first["reasons"] = texts
        if not is_right:
            self._load(case.after(step))

    def _evaluate(self) -> None:
        """Compare the outputs for the test part, and the share that is right."""
        case, text = self.case, self.case.description
        step, state = case.n_steps, case.before(case.n_steps)
        batch = _cast_batch(Batch(*case.test, step, np.empty(0)), self.dtype)
        self._load(state)
        got = self.driver.evaluate(batch.inputs, batch.targets)
        run = replay_outputs(text, state, case.test[0])
        limits = output_bounds(text, state, run, self.dtype)
        size = reasons.ratio(got["output"], run.outputs[-1], limits)
        self._note(step, TEST_OUTPUT, size)
        wrong = abs(float(got["accuracy"]) - case.accuracy) * batch.targets.size
        # Half a decision is room for the rounding of the share.
        allowed = undecided(text, run.outputs[-1], limits) + 0.5
        self._note(step, "accuracy", wrong / allowed)
        if self.first and "reasons" not in self.first:
            self.first["reasons"] = reasons.reasons_of_evaluation(
                text, state, *case.test, got, limits
            )

    def _same_pattern(self, step: int, truth: Tensors, got: Tensors) -> bool:
        """Return whether the connections are the true ones, and note it."""
        wrong = 0
        for index in range(n_layers_of(truth)):
            if any(
                not np.array_equal(truth[name(index, each)], got[name(index, each)])
                for each in PATTERN
            ):
                cells = keys_of(truth, index), keys_of(got, index)
                wrong += max(np.setxor1d(*cells).size, 1)
        self._note(step, "pattern", 1.0 + wrong if wrong else 0.0)
        return wrong == 0

    def _update(self, step: int) -> None:
        case = self.case
        before = case.initial if step == 0 else case.after(step - 1)
        update, want = case.update(step)
        given = update._replace(draws=cast(update.draws, self.dtype))
        run: Replay | None = None
        if update.batch is not None:
            run = replay(case.description, before, update.batch)
            given = given._replace(batch=_cast_batch(update.batch, self.dtype))
        got = self.driver.update_topology(given)
        state = self.driver.state()
        is_same, is_right = True, True
        for index in update.layers:
            for what in ("dropped", "grown"):
                key = name(index, what)
                if np.array_equal(want[key], got[key]):
                    self._note(step, what, 0.0)
                    continue
                is_same = False
                size = self._misplacement(before, want, got, index, what, run)
                is_right &= size <= 1.0
                self._note(step, what, size)
        if not is_right:
            if self.first and "reasons" not in self.first:
                texts = reasons.reasons_of_update(
                    case.description, before, update, want, got, run
                )
                self.first["reasons"] = texts
        elif is_same:
            grown = {index: want[name(index, "grown")] for index in update.layers}
            is_right = self._updated_state(step, before, state, grown)
        # What was chosen otherwise, rightly or wrongly, ends with this update.
        if not (is_right and is_same):
            self._load(case.updated(step))
        self._is_in_step = True

    def _misplacement(self, before, want, got, index, what, run) -> float:
        """Return how far the scores of misplaced cells are from the last right one.

        In units of the tolerance; where cells have no score, more than 1.
        """
        key = name(index, what)
        wrong = np.setxor1d(want[key], got[key])
        keys = keys_of(before, index)
        if what == "dropped":
            if not np.isin(wrong, keys).all():
                return 1.0 + wrong.size
            weights = np.abs(before[name(index, "weights")])
            scores = dict(zip(keys.tolist(), weights.tolist(), strict=True))
            sizes = np.array([scores[each] for each in wrong.tolist()])
            right = np.array([scores[each] for each in want[key].tolist()])
            last = float(right.max(initial=0.0))
        elif run is not None and self.case.description["topology"] != "snip":
            n_in, n_out = (
                before[name(index, "indptr")].size - 1,
                run.sums[index].shape[1],
            )
            if wrong.min() < 0 or wrong.max() >= n_in * n_out:
                return 1.0 + wrong.size
            x, delta = run.inputs[index], run.deltas[index]

            def at(cells):
                pair = x[:, cells // n_out], delta[:, cells % n_out]
                return np.abs(np.einsum("bk,bk->k", *pair))

            sizes, right = at(wrong), at(want[key])
            last = float(right.min()) if right.size else 0.0
        else:
            return 1.0 + wrong.size
        tolerance = _NEAR_TIE * UNIT[self.dtype] * last
        size = float(np.abs(sizes - last).max() / max(tolerance, 1e-300))
        if size <= 1.0:
            self.near_ties += wrong.size
        return min(size, 1e300)

    def _updated_state(self, step, before, state, grown) -> bool:
        """Compare the state after an update of the right cells."""
        truth = self.case.updated(step)
        is_right = self._same_pattern(step, truth, state)
        limits = self._carried(before, truth, grown)
        for key, bound in limits.items():
            size = reasons.ratio(state[key], truth[key], bound)
            self._note(step, key, size, UPDATED)
            is_right &= size <= 1.0
        if is_right:
            self._errors = limits
        elif self.first and "reasons" not in self.first:
            self.first["reasons"] = reasons.reasons_of_state(
                before, truth, state, grown
            )
        return is_right

    def _carried(self, before, truth, grown) -> Tensors:
        """Return the bounds of a state after an update, from those before it."""
        u, tiny = UNIT[self.dtype], float(np.finfo(self.dtype).tiny)
        errors = self._errors or {}
        limits: Tensors = {}
        for index in range(n_layers_of(truth)):
            old, new = keys_of(before, index), keys_of(truth, index)
            places = np.searchsorted(old, new) % max(old.size, 1)
            stays = old[places] == new
            for each in TRAINED:
                key = name(index, each)
                limit = 4.0 * u * np.abs(truth[key]) + tiny
                if key in errors and truth[key].size:
                    limit = limit + (
                        errors[key]
                        if each.startswith("bias")
                        else np.where(stays, errors[key][places], 0.0)
                    )
                limits[key] = limit
        return limits

    def _note(self, step: int, key: str, size: float, where: str = "") -> None:
        """Note the largest difference of a quantity over the layers."""
        quantity = _quantity(key) + where
        entries = self.ratios.setdefault(quantity, [])
        if entries and entries[-1][0] == step:
            entries[-1] = step, max(entries[-1][1], size)
        else:
            entries.append((step, size))
        if size > 1.0 and self.first is None:
            self.first = {"step": step, "quantity": key + where, "ratio": size}

    def report(self) -> dict[str, Any]:
        """Return the results, ready for JSON."""
        quantities = {}
        for quantity, entries in self.ratios.items():
            step, largest = max(entries, key=lambda entry: entry[1])
            departures = [at for at, size in entries if size > 1.0]
            quantities[quantity] = {
                "largest": largest,
                "step": step,
                "first_departure": departures[0] if departures else None,
                "ratios": [list(entry) for entry in entries],
            }
        return {
            "verdict": "departs" if self.first else "passes",
            "first": self.first,
            "near_ties": self.near_ties,
            "quantities": quantities,
        }


def _quantity(key: str) -> str:
    return key.rpartition(".")[2]


def _cast_batch(batch: Batch, dtype: str) -> Batch:
    targets = batch.targets
    if targets.dtype.kind == "f":
        targets = targets.astype(dtype)
    return batch._replace(inputs=batch.inputs.astype(dtype), targets=targets)
