"""What the publication on SRigL claims, as comparisons of runs of fan_in_study.py."""

import statistics
from collections.abc import Hashable
from typing import Any

from truesparse.analysis.sweeps import Result, Setting

from . import frame
from .claims import Claim, Where, claims_table

SRIGL, WHOLE, RIGL = "SRigL", "SRigL without ablation", "RigL"
# Without ablation it falls behind above this sparsity.
NARROW = 0.9
# Percent points within which accuracies are alike.
ALIKE = 0.5
# One sample at 90 %, times as long: dense and CSR.
FASTER = {"torch_dense": 3.4, "torch_csr": 2.5}


def place_of_run(setting: Setting) -> Hashable:
    """Return what two runs must share to be compared."""
    return setting["data"], setting.get("density"), setting["seed"]


def _accuracy(result: Result) -> float:
    return 100 * result["accuracy"]


def _active(result: Result) -> float:
    return 100 * sum(result["active"][1:-1]) / sum(result["neurons"][1:-1])


def _above(sparsity: float) -> Where:
    return lambda setting: setting.get("density", 1.0) < 1.0 - sparsity - 1e-9


CLAIMS = [
    Claim(
        "SRigL reaches RigL",
        "accuracy, %",
        _accuracy,
        SRIGL,
        RIGL,
        margin=-ALIKE,
    ),
    Claim(
        f"without ablation it falls behind RigL above {100 * NARROW:g} %",
        "accuracy, %",
        _accuracy,
        RIGL,
        WHOLE,
        where=_above(NARROW),
    ),
    Claim(
        f"ablation is what helps above {100 * NARROW:g} %",
        "accuracy, %",
        _accuracy,
        SRIGL,
        WHOLE,
        where=_above(NARROW),
    ),
    Claim(
        f"RigL ablates neurons by itself above {100 * NARROW:g} %",
        "active hidden neurons, %",
        _active,
        WHOLE,
        RIGL,
        where=_above(NARROW),
    ),
]


def claims(rows: frame.Rows, times: dict[str, dict[str, float]]) -> str:
    """Return the claims on accuracy, and those on latency, with verdicts."""
    return (
        claims_table(CLAIMS, rows, place_of_run)
        + "\n"
        + frame.table(*_speed(rows, times))
    )


def _speed(
    rows: frame.Rows, times: dict[str, dict[str, float]]
) -> tuple[list[str], list[list[str]]]:
    """Return head and lines of the claims on latency, of nets as sparse as theirs."""
    models = [
        result["model"]
        for setting, result in rows
        if result.get("model") in times
        and setting["name"] == SRIGL
        and round(1.0 - setting["density"], 6) == NARROW
    ]
    lines: list[list[Any]] = []
    for peer, published in FASTER.items():
        known = [times[model] for model in models if peer in times[model]]
        ratios = [each[peer] / each["condensed"] for each in known]
        outcome = "not measured"
        if ratios:
            holds = statistics.mean(ratios) >= published
            outcome = "holds" if holds else "does not hold"
        claim = f"condensed, one sample at {100 * NARROW:g} % takes 1/{published:g}"
        lines.append([claim, peer, frame.mean_text(ratios, 2), outcome])
    return ["claim", "of", "times as long as condensed", "verdict"], lines
