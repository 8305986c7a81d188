"""Likely reasons of a departure: mistakes that are made often, replayed.

A mistake is named where an implementation does what the rules with that mistake would
do, within a few tolerances, and not what the right rules do.
"""

import numpy as np
import scipy.sparse

from truesparse.reference.bounds import UNIT
from truesparse.reference.protocol import (
    Batch,
    Description,
    Tensors,
    TopologyDraws,
    keys_of,
    name,
)
from truesparse.reference.replay import Replay, Rules, replay, replay_outputs

MISTAKES: dict[str, Rules] = {
    "loss is the sum over the batch, not the mean": Rules(reduction="sum"),
    "loss of a partial batch is divided by the size of a whole one": Rules(
        reduction="whole_batch"
    ),
    "loss is the mean over the outputs too": Rules(reduction="outputs"),
    "momentum form: m holds gradients without the learning rate": Rules(
        momentum="buffer"
    ),
    "momentum is dampened by 1 - momentum": Rules(momentum="dampened"),
    "nesterov is plain momentum": Rules(nesterov="plain"),
    "nesterov form: the step lacks the gradient": Rules(nesterov="moment_only"),
    "no weight decay": Rules(decay="none"),
    "weight decay is added to the gradient (l2)": Rules(decay="l2"),
    "weight decay is decoupled, times the learning rate": Rules(decay="decoupled"),
    "weight decay is decoupled, without the learning rate": Rules(decay="set"),
    "weight decay comes after the step, on stepped weights": Rules(decays_after=True),
    "weight decay has the wrong sign": Rules(decay_sign=-1.0),
    "weight decay is twice as large": Rules(decay_sign=2.0),
    "biases decay": Rules(decays_bias=True),
    "biases are not trained": Rules(trains_bias=False),
    "epsilon of Adam is inside the root": Rules(epsilon="inside"),
    "Adam has no bias correction": Rules(correction="none"),
    "bias correction of Adam is one step late": Rules(correction="late"),
    "slopes of all_relu have the wrong sign": Rules(parity=-1.0),
    "gelu is the approximation by tanh": Rules(gelu="tanh"),
    "dropout does not scale up what stays": Rules(scale=False),
    "dropout's mask is not applied in the backward pass": Rules(mask_backward=False),
    "dropout's mask exchanges neuron and sample": Rules(mask_transposed=True),
}
# Bounds are those of the right rules; the steps of wrong ones may be larger.
_ROOM = 32.0

ABSENT = "mask not applied in the backward pass: absent cells are trained"
# In the step after an update, which starts from what the update left.
LEFT_OVER = "removed connections still act after the update"
# In the evaluation at the end, all steps before which are right.
SCALED = "outputs of hidden neurons are scaled by 1 - dropout when evaluated"
DROPPED = "dropout acts when evaluated"
ALL_OUTPUTS = "accuracy counts samples whose outputs are all right"


def reasons_of_step(
    case: Description,
    state: Tensors,
    batch: Batch,
    got: Tensors,
    bounds: Tensors,
    dtype: str,
) -> list[str]:
    """Return the mistakes that explain what a step did, the best first.

    Parameters
    ----------
    case : dict
    state : dict of str to array
        State before the step.
    batch : Batch
    got : dict of str to array
        What the implementation returned, and its state after the step.
    bounds : dict of str to array
    dtype : {"float64", "float32"}
    """
    for key, each in state.items():
        if key.endswith(".indptr") and not np.array_equal(got[key], each):
            return [ABSENT]
    fits = []
    for text, rules in MISTAKES.items():
        wrong = replay(case, state, batch, rules)
        worst = _misfit(got, wrong, bounds, dtype)
        if worst <= _ROOM:
            fits.append((worst, text))
    return [text for _, text in sorted(fits)] or _other_reasons(case, state, got)


def _misfit(got: Tensors, run: Replay, bounds: Tensors, dtype: str) -> float:
    """Return the largest difference from a replay, in bounds.

    Where the truth is 0, and so its bound, a mistake may give rounded numbers.
    """
    want = {**run.observed, **run.after}
    return max(
        ratio(got[key], want[key], bound + _ROOM * UNIT[dtype] * np.abs(want[key]))
        for key, bound in bounds.items()
    )


def ratio(got: np.ndarray, want: np.ndarray, bound: np.ndarray) -> float:
    """Return the largest difference in units of a bound; 1e300 if shapes differ."""
    if np.shape(got) != np.shape(want):
        return 1e300
    if not np.size(got):
        return 0.0
    with np.errstate(all="ignore"):
        share = np.abs(np.asarray(got) - want) / bound
    return float(min(np.nan_to_num(share, nan=1e300, posinf=1e300).max(), 1e300))


def _other_reasons(case, state, got) -> list[str]:
    """Return what can be said of a step that no mistake explains."""
    for key, each in state.items():
        what = key.rpartition(".")[2]
        if what == "weights" and np.array_equal(got[key], each):
            return ["weights are not trained"]
    return []


def reasons_of_update(
    case: Description,
    before: Tensors,
    update: TopologyDraws,
    want: Tensors,
    got: Tensors,
    gradients: Replay | None,
) -> list[str]:
    """Return the mistakes that explain which cells were dropped and grown.

    Parameters
    ----------
    case : dict
    before : dict of str to array
        State before the update.
    update : TopologyDraws
    want, got : dict of str to array
        Cells dropped and grown.
    gradients : Replay or None
        The batch of the update, replayed.
    """
    names = [name(index, "dropped") for index in update.layers]
    if any(not np.array_equal(want[each], got[each]) for each in names):
        return [
            text
            for text, rule in _DROPS.items()
            if all(
                np.array_equal(rule(before, index, want), got[name(index, "dropped")])
                for index in update.layers
            )
        ][:1]
    return [
        text
        for text, rule in _GROWTHS.items()
        if rule(case, before, update, want, got, gradients)
    ][:1]


def _smallest(before, index, count, scores) -> np.ndarray:
    order = np.argsort(scores, kind="stable")[:count]
    return np.sort(keys_of(before, index)[order])


def _drop_by(score):
    def rule(before, index, want):
        weights = before[name(index, "weights")]
        return _smallest(
            before, index, want[name(index, "dropped")].size, score(weights)
        )

    return rule


def _drop_last_of_equal(before, index, want):
    weights = np.abs(before[name(index, "weights")])
    count = want[name(index, "dropped")].size
    order = np.lexsort((-np.arange(weights.size), weights))[:count]
    return np.sort(keys_of(before, index)[order])


def _drop_none(before, index, want):
    return np.empty(0, np.int64)


_DROPS = {
    "nothing is removed": _drop_none,
    "removal by signed value, not by magnitude": _drop_by(lambda w: w),
    "removal of the largest magnitudes": _drop_by(lambda w: -np.abs(w)),
    "removal by magnitude of all weights, not of each sign": _drop_by(np.abs),
    "tie-break: of equal magnitudes the last goes": _drop_last_of_equal,
}


def _cells(before, update, want, index, by_column=False, with_removed=False):
    """Return the cells that draws would give if ranks were counted otherwise."""
    indptr = before[name(index, "indptr")]
    n_in, n_out = indptr.size - 1, before[name(index, "bias")].size
    ranks = update.draws[name(index, "ranks")]
    taken = keys_of(before, index)
    if not with_removed:
        taken = taken[~np.isin(taken, want[name(index, "dropped")])]
    if by_column:
        taken = np.sort(taken % n_out * n_in + taken // n_out)
    # The cell of rank r has r empty ones before it.
    free_before = taken - np.arange(taken.size)
    cells = ranks + np.searchsorted(free_before, ranks, side="right")
    return np.sort(cells % n_in * n_out + cells // n_in) if by_column else cells


def _ranks_differ(**how):
    def rule(case, before, update, want, got, gradients):
        return all(
            np.array_equal(
                _cells(before, update, want, index, **how), got[name(index, "grown")]
            )
            for index in update.layers
            if update.draws[name(index, "ranks")].size
        ) and any(update.draws[name(index, "ranks")].size for index in update.layers)

    return rule


def _sizes(before, gradients, keys, index):
    n_out = before[name(index, "bias")].size
    x, delta = gradients.inputs[index], gradients.deltas[index]
    return np.einsum("bk,bk->k", x[:, keys // n_out], delta[:, keys % n_out])


def _grows_by_sign(case, before, update, want, got, gradients):
    """Whether all that grew has one sign, and the truth has both."""
    if gradients is None:
        return False
    signs: dict[str, set] = {"want": set(), "got": set()}
    for index in update.layers:
        for which, cells in (("want", want), ("got", got)):
            sizes = _sizes(before, gradients, cells[name(index, "grown")], index)
            signs[which] |= set(np.sign(sizes).tolist())
    return len(signs["got"] - {0.0}) == 1 and len(signs["want"]) > 1


def _grows_smallest(case, before, update, want, got, gradients):
    """Whether what grew has smaller gradients than all that should."""
    if gradients is None:
        return False
    highest, lowest = 0.0, np.inf
    for index in update.layers:
        for cells, is_got in ((got, True), (want, False)):
            keys = cells[name(index, "grown")]
            if keys.size:
                sizes = np.abs(_sizes(before, gradients, keys, index))
                if is_got:
                    highest = max(highest, float(sizes.max()))
                else:
                    lowest = min(lowest, float(sizes.min()))
    return 0.0 <= highest < lowest < np.inf


def _grows_nothing(case, before, update, want, got, gradients):
    return not any(got[name(index, "grown")].size for index in update.layers)


_GROWTHS = {
    "nothing grows": _grows_nothing,
    "draws count cells by column, not by row": _ranks_differ(by_column=True),
    "draws count only cells that were empty before the removal": _ranks_differ(
        with_removed=True
    ),
    "draws count cells that the removal has emptied, which stay empty": _ranks_differ(),
    "growth where gradients are smallest": _grows_smallest,
    "growth by signed gradient, not by magnitude": _grows_by_sign,
}


def reasons_of_state(
    before: Tensors, truth: Tensors, got: Tensors, grown: dict[int, np.ndarray]
) -> list[str]:
    """Return what is wrong with weights and state after an update of right cells.

    Parameters
    ----------
    before, truth, got : dict of str to array
        State before the update, and after it: the true one, the other's.
    grown : dict of int to array
        Cells that grew, by layer.
    """
    texts: dict[str, None] = {}
    for index, cells in grown.items():
        is_new = np.isin(keys_of(truth, index), cells)
        keys = name(index, "indptr"), name(index, "indices")
        if not all(np.array_equal(truth[key], got[key]) for key in keys):
            texts["the new pattern is not what was dropped and grown"] = None
            continue
        for what in ("first", "second", "weights"):
            key = name(index, what)
            if got[key].shape != truth[key].shape or not got[key].size:
                continue
            off = ~np.isclose(got[key], truth[key], rtol=1e-3, atol=1e-12)
            if (off & is_new).any():
                again = _was_connected(before, truth, index, off & is_new)
                texts[_OF_NEW[what == "weights", again]] = None
            elif off.any():
                texts[f"{_WORDS[what]} of connections that stay change"] = None
    return list(texts)


_WORDS = {"first": "first moments", "second": "second moments", "weights": "weights"}
_OF_NEW = {
    (False, True): "optimiser state of a regrown connection is kept",
    (False, False): "optimiser state of new connections is not zero",
    (True, True): "weight of a regrown connection is not what the rule says",
    (True, False): "weights of new connections are not what the rule says",
}


def _was_connected(before, truth, index, marks) -> bool:
    cells = keys_of(truth, index)[marks]
    return bool(np.isin(cells, keys_of(before, index)).all())


def reasons_of_evaluation(
    case: Description,
    state: Tensors,
    inputs: np.ndarray | scipy.sparse.csr_array,
    targets: np.ndarray,
    got: Tensors,
    limits: np.ndarray,
) -> list[str]:
    """Return the mistakes that explain outputs for the test part, or their accuracy.

    Parameters
    ----------
    case : dict
    state : dict of str to array
        State at the end.
    inputs, targets : arrays
        Test part.
    got : dict of str to array
        The implementation's output and accuracy.
    limits : (n, n_out) array
        Bounds of the outputs.
    """
    output = got["output"]
    if ratio(output, replay_outputs(case, state, inputs).outputs[-1], limits) <= 1.0:
        if case["loss"] != "logistic":
            return []
        share = ((output > 0) == (targets > 0.5)).all(axis=1).mean()
        return [ALL_OUTPUTS] if np.isclose(got["accuracy"], share) else []
    if not case["dropout"]:
        return []
    # Factors of what is put in are as good as factors of the weights.
    scaled = {
        key: (1.0 - case["dropout"]) * each
        if key.endswith(".weights") and key != name(0, "weights")
        else each
        for key, each in state.items()
    }
    want = replay_outputs(case, scaled, inputs).outputs[-1]
    return [SCALED] if ratio(output, want, limits) <= _ROOM else [DROPPED]
