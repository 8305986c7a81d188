"""How each topology algorithm chooses cells, given its random draws; FORMAT.md has it.

Layers are lists of keys ``row * n_out + column``, ascending, with the weights in their
order; see cells.py for how cells are chosen.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.reference.cells import (
    empty_cells,
    highest_scores,
    largest_absent,
    nearest_to_zero,
    share_out,
    smallest,
)
from truesparse.reference.protocol import (
    Description,
    Tensors,
    TopologyDraws,
    name,
)


@dataclass
class NewPattern:
    """What an update changes in a layer.

    Parameters
    ----------
    dropped, grown : (k,) int64 arrays
        Keys, ascending; a cell may be in both.
    weights : (k,) float array
        First weights of what grows.
    returning : (r,) int64 array
        Cells in both that keep weight and state.
    """

    dropped: np.ndarray
    grown: np.ndarray
    weights: np.ndarray
    returning: np.ndarray


def update_topology(net: Any, case: Description, update: TopologyDraws) -> Tensors:
    """Update the layers of a net, and return layer.l.dropped and layer.l.grown.

    Parameters
    ----------
    net : driven.Driven
        Has keys, weights, shape, gradients and rewire.
    case : dict
        Description of the case.
    update : TopologyDraws
    """
    changes = _RULES[case["topology"]](net, case, update)
    result: Tensors = {}
    for number, (dropped, grown) in changes.items():
        result[name(number, "dropped")] = dropped
        result[name(number, "grown")] = grown
    return result


# What rules share ---------------------------------------------------------------------


def _split(net: Any, number: int, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys that go and those that stay."""
    keys = net.keys(number)
    return keys[marks], keys[~marks]


def _fill(update: TopologyDraws, number: int, remaining, chosen) -> np.ndarray:
    """Add the drawn cells to those that were chosen, ascending."""
    ranks = update.draws[name(number, "ranks")]
    drawn = empty_cells(np.union1d(remaining, chosen), ranks)
    return np.union1d(chosen, drawn)


def _replace(
    net: Any, number: int, dropped, grown, *, keeps: bool = False, weight: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Rewire a layer and return its change."""
    returning = np.intersect1d(dropped, grown) if keeps else dropped[:0]
    weights = np.full(grown.size, weight)
    net.rewire(number, NewPattern(dropped, grown, weights, returning))
    return dropped, grown


# The rules: each rewires the layers and returns what went and what came ---------------


def _static(net: Any, case: Description, update: TopologyDraws) -> dict:
    return {}


def _set(net: Any, case: Description, update: TopologyDraws) -> dict:
    changes = {}
    for number in update.layers:
        marks = nearest_to_zero(net.weights(number), update.fraction)
        dropped, remaining = _split(net, number, marks)
        grown = _fill(update, number, remaining, dropped[:0])
        changes[number] = _replace(net, number, dropped, grown)
    return changes


def _drop_magnitude(net: Any, number: int, fraction: float) -> tuple:
    sizes = np.abs(net.weights(number))
    return _split(net, number, smallest(sizes, int(fraction * sizes.size)))


def _rigl(net: Any, case: Description, update: TopologyDraws) -> dict:
    gradients, changes = net.gradients(update.batch), {}
    for number in update.layers:
        dropped, remaining = _drop_magnitude(net, number, update.fraction)
        cells = remaining, math.prod(net.shape(number)), gradients[number]
        best, _ = largest_absent(*cells, dropped.size)
        grown = _fill(update, number, remaining, best)
        changes[number] = _replace(net, number, dropped, grown, keeps=True)
    return changes


def _dsr(net: Any, case: Description, update: TopologyDraws) -> dict:
    threshold, changes = float(update.draws["threshold"]), {}
    for number in update.layers:
        sizes = np.abs(net.weights(number))
        marks = (sizes < threshold) & (update.fraction > 0)
        if marks.all():
            marks[sizes.argmax()] = False
        dropped, _ = _split(net, number, marks)
        # The cells that were empty before.
        grown = empty_cells(net.keys(number), update.draws[name(number, "ranks")])
        changes[number] = _replace(net, number, dropped, grown)
    return changes


def _ggr(net: Any, case: Description, update: TopologyDraws) -> dict:
    gradients, layers = net.gradients(update.batch), update.layers
    split = {n: _drop_magnitude(net, n, update.fraction) for n in layers}
    total = sum(dropped.size for dropped, _ in split.values())
    rooms = {n: math.prod(net.shape(n)) - split[n][1].size for n in layers}
    best = {}
    for n in layers:
        cells = split[n][1], math.prod(net.shape(n)), gradients[n]
        best[n] = largest_absent(*cells, min(total, rooms[n]))
    sizes = np.sort(np.concatenate([each for _, each in best.values()]))
    limit = sizes[max(sizes.size - total, 0)] if sizes.size and total else np.inf
    above = [float((best[n][1] >= limit).sum()) for n in layers]
    counts = share_out(total, above, [rooms[n] for n in layers])
    changes = {}
    for n, count in zip(layers, counts, strict=True):
        keys, sizes = best[n]
        half = keys[~smallest(sizes, sizes.size - (count + 1) // 2)]
        grown = _fill(update, n, split[n][1], half)
        changes[n] = _replace(net, n, split[n][0], grown, weight=1e-10)
    return changes


def _srigl(net: Any, case: Description, update: TopologyDraws) -> dict:
    gradients, changes = net.gradients(update.batch), {}
    share = case["options"].get("gamma_salience", 0.3)
    for number in update.layers if update.fraction > 0 else ():
        keys, sizes = net.keys(number), np.abs(net.weights(number))
        (n_in, n_out), columns = net.shape(number), keys % net.shape(number)[1]
        budget = int(update.draws[name(number, "budget")])
        count = max(int(update.fraction * keys.size), int((sizes == 0).sum()))
        marks = smallest(sizes, count)
        # A cell is salient by its weight or by its gradient.
        every_cell = keys[:0], n_in * n_out, gradients[number]
        best, _ = largest_absent(*every_cell, count)
        salient = np.bincount(np.union1d(keys[~marks], best) % n_out, minlength=n_out)
        is_active = np.ones(n_out, bool)
        if number < len(case["layer_sizes"]) - 2 and share > 0:
            limit = share if share >= 1 else max(1, int(share * (budget // n_out)))
            n_least = min(budget // n_in + 1, n_out)
            is_active = salient >= min(limit, np.sort(salient)[-n_least])
        fan_in = min(max(1, budget // int(is_active.sum())), n_in)
        sizes = np.where(is_active[columns], sizes, -1.0)
        marks = smallest(sizes, max(count, int((~is_active[columns]).sum())))
        sizes[marks] = -1.0
        grown = []
        for column in np.flatnonzero(is_active):
            at = np.flatnonzero(columns == column)
            at = at[np.argsort(-sizes[at], kind="stable")]
            marks[at[fan_in:]] = True
            remaining = keys[at][~marks[at]]
            cells = np.setdiff1d(np.arange(n_in) * n_out + column, remaining)
            slopes = np.abs(gradients[number](cells))
            order = np.argsort(-slopes, kind="stable")[: fan_in - remaining.size]
            grown.append(cells[order[slopes[order] > 0]])
        dropped, remaining = _split(net, number, marks)
        grown = _fill(update, number, remaining, np.sort(np.concatenate(grown)))
        changes[number] = _replace(net, number, dropped, grown, keeps=True)
    return changes


def _cht(net: Any, case: Description, update: TopologyDraws) -> dict:
    n_layers = len(case["layer_sizes"]) - 1
    marks = {n: np.zeros(net.keys(n).size, bool) for n in range(n_layers)}
    for n in update.layers:
        marks[n] = nearest_to_zero(net.weights(n), update.fraction)
    if any(each.any() for each in marks.values()):
        _remove_chains(net, marks, update.layers)
    changes = {}
    for n in update.layers:
        dropped, remaining = _split(net, n, marks[n])
        count = int(update.draws[name(n, "budget")]) - remaining.size
        count -= update.draws[name(n, "ranks")].size
        ties = update.draws.get(name(n, "ties"))
        best = highest_scores(remaining, net.shape(n), count, ties)
        grown = _fill(update, n, remaining, best)
        changes[n] = _replace(net, n, dropped, grown, keeps=True)
    return changes


def _remove_chains(net: Any, marks: dict[int, np.ndarray], layers: list[int]) -> None:
    """Mark connections that lead nowhere, from above, then those from nowhere."""
    keys = {n: net.keys(n) for n in marks}
    for low in range(len(marks) - 2, -1, -1):
        n_out = net.shape(low)[1]
        above = keys[low + 1][~marks[low + 1]] // net.shape(low + 1)[1]
        if low in layers:
            marks[low] |= ~np.isin(keys[low] % n_out, above)
    for high in range(1, len(marks)):
        below = keys[high - 1][~marks[high - 1]] % net.shape(high - 1)[1]
        if high in layers:
            marks[high] |= ~np.isin(keys[high] // net.shape(high)[1], below)


def _snip(net: Any, case: Description, update: TopologyDraws) -> dict:
    before = {n: net.keys(n) for n in update.layers}
    weights = {n: update.draws[name(n, "superset")] for n in update.layers}
    superset = {}
    for n, keys in before.items():
        added = empty_cells(keys, update.draws[name(n, "ranks")])
        superset[n] = np.union1d(keys, added)
        everything = NewPattern(keys, superset[n], weights[n], keys[:0])
        net.rewire(n, everything)
    gradients = net.gradients(update.batch)
    scores = [np.abs(weights[n] * gradients[n](superset[n])) for n in before]
    for each in scores:
        each[each.argmax()] = np.inf  # no layer is emptied before the others
    n_candidates = sum(each.size for each in scores)
    n_left = sum(keys.size for keys in before.values())
    marks = smallest(np.concatenate(scores), n_candidates - n_left)
    parts = np.split(marks, np.cumsum([each.size for each in scores])[:-1])
    changes = {}
    for (n, keys), goes in zip(before.items(), parts, strict=True):
        after, values = superset[n][~goes], weights[n][~goes]
        net.rewire(n, NewPattern(superset[n], after, values, keys[:0]))
        changes[n] = np.setdiff1d(keys, after), np.setdiff1d(after, keys)
    return changes


_RULES = {
    "static": _static,
    "set": _set,
    "rigl": _rigl,
    "dsr": _dsr,
    "ggr": _ggr,
    "srigl": _srigl,
    "cht": _cht,
    "snip": _snip,
}
