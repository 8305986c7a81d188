"""What slides and poster of robustness_study.py claim, as comparisons of runs."""

import statistics
from typing import Any

from truesparse.analysis.displays.accuracy_curves import LABELS
from truesparse.analysis.sweeps import Result

from .claims import Claim, Measure

CH3L3, CH3L3_CHAINS = "CH3L3", "CH3L3 without chain removal"
RLR, RLR_REMOVAL = "RLR", "RLR with chain removal"
PRUNED = "dense, pruned"
# A method reaches the accuracy of the dense net if it is at most this far below.
REACHED = 0.005
EARLY = 3  # epochs that count as early
# Areas that differ by less are alike: published are differences of 0.008 and 0.011 for
# RLR, and of 0.083 and 0.1 for CH3L3.
ALIKE = 0.03
# Weight order is a catastrophe if more accuracy than this is lost, see `_lost`.
CATASTROPHE, REMOVED = 0.5, 0.1


def area(perturbation: str) -> Measure:
    """Return the measure of the area under a robustness curve."""
    return lambda result: _curve(result, perturbation)["area"]


def _curve(result: Result, perturbation: str) -> dict[str, Any]:
    [curve] = [c for c in result["curves"] if c["perturbation"] == perturbation]
    return curve


def active(result: Result) -> float:
    """Return the percentage of the hidden neurons that are active."""
    return 100 * sum(result["active"][1:-1]) / sum(result["hidden"])


def _accuracy(result: Result) -> float:
    return result["accuracy"]


def _trained(result: Result) -> float:
    """Return the accuracy after training, before a dense net is pruned."""
    return result["accuracies"][-1]


def _early(result: Result) -> float:
    return statistics.mean(result["accuracies"][:EARLY])


def _left(result: Result) -> float:
    """Return the accuracy that is left once the strongest connections are removed."""
    curve = _curve(result, "weight_order")
    nearest = min(curve["fractions"], key=lambda fraction: abs(fraction - REMOVED))
    place = curve["fractions"].index(nearest)
    return statistics.mean(row[place] for row in curve["accuracies"])


def _effective_rank(result: Result) -> float:
    return result["effective_rank"]


def _stable_rank(result: Result) -> float:
    return result["stable_rank"]


def _more_robust(text: str, perturbation: str, first: str, second: str) -> Claim:
    unit = f"area, {LABELS[perturbation]}"
    return Claim(text, unit, area(perturbation), first, second)


def _reaches(name: str) -> Claim:
    text, unit = "all methods reach the dense net's accuracy", "accuracy after training"
    return Claim(text, unit, _accuracy, name, PRUNED, _trained, margin=-REACHED)


def _is_catastrophic(name: str) -> Claim:
    text = "weight order is catastrophic for all"
    unit = f"accuracy lost without the strongest {100 * REMOVED:g} % of connections"
    return Claim(text, unit, _accuracy, name, name, _left, margin=CATASTROPHE)


def _no_matter(perturbation: str) -> Claim:
    text = "chain removal does not matter for RLR"
    claim = _more_robust(text, perturbation, RLR_REMOVAL, RLR)
    return claim._replace(within=ALIKE)


_CHAINS = "chain removal matters for CH3L3"
_RLR = "RLR is more robust to reverse order and noise"
_CH3L3 = "CH3L3 is more robust to random removal and shuffling"
_RANKS = "CH3L3 compresses, RLR spreads out"

CLAIMS = [
    *map(_reaches, (CH3L3, CH3L3_CHAINS, RLR, RLR_REMOVAL)),
    Claim(
        "CH3L3 learns faster early",
        f"mean accuracy of the first {EARLY} epochs",
        _early,
        CH3L3,
        RLR,
    ),
    _more_robust(_CHAINS, "random", CH3L3, CH3L3_CHAINS),
    _more_robust(_CHAINS, "shuffled", CH3L3, CH3L3_CHAINS),
    _no_matter("random"),
    _no_matter("shuffled"),
    _more_robust(_RLR, "reverse_order", RLR, CH3L3),
    _more_robust(_RLR, "noise", RLR, CH3L3),
    _more_robust(_CH3L3, "random", CH3L3, RLR),
    _more_robust(_CH3L3, "shuffled", CH3L3, RLR),
    *map(_is_catastrophic, (CH3L3, CH3L3_CHAINS, RLR, RLR_REMOVAL)),
    Claim(_RANKS, "effective rank", _effective_rank, RLR, CH3L3),
    Claim(_RANKS, "stable rank", _stable_rank, RLR, CH3L3),
    Claim("RLR has more active neurons", "active hidden, %", active, RLR, CH3L3),
]
