"""What the publication on GGR claims, as comparisons of runs of balance_study.py."""

from collections.abc import Hashable

from truesparse.analysis.sweeps import Result, Setting

from .claims import Claim, Where

OTHERS = ("SET", "RigL", "DSR")
SPARSE, SPARSEST = 0.03, 0.01  # densities
# At 90 % GGR is among the others: at most this many percent points below the best.
AMONG = 1.0


def place_of_run(setting: Setting) -> Hashable:
    """Return what two runs must share to be compared."""
    names = ("data", "net", "density", "init_topology", "seed")
    return tuple(setting.get(name) for name in names)


def share_of(result: Result, name: str, side: int) -> float:
    """Return the percentage of empty neurons over all layers, each layer's counted."""
    sizes = result["neurons"][side : len(result["neurons"]) - 1 + side]
    empty = sum(s * n for s, n in zip(result[name], sizes, strict=True))
    return 100 * empty / sum(sizes)


def _accuracy(result: Result) -> float:
    return 100 * result["accuracy"]


def _empty(result: Result) -> float:
    return share_of(result, "empty_neurons", 1)


def _at(density: float, distribution: str = "") -> Where:
    """Return whether a setting is as sparse as that, or sparser, and so drawn."""
    return lambda setting: (
        setting.get("density", 1.0) <= density
        and setting.get("init_topology", "").startswith(distribution)
    )


def _best(text: str, where: Where, names: tuple[str, ...], margin: float = 0.0):
    unit = "accuracy, %"
    return [
        Claim(text, unit, _accuracy, "GGR", name, margin=margin, where=where)
        for name in names
    ]


CLAIMS = [
    *_best("GGR is the best at 99 %", _at(SPARSEST), OTHERS),
    *_best("GGR is the best at 97 and 99 %", _at(SPARSE), OTHERS),
    *_best("GGR is no worse in any setting", lambda setting: True, OTHERS, -AMONG),
    *_best("GGR recovers from a uniform distribution", _at(SPARSE, "uniform"), OTHERS),
    *_best(
        "gradients and chance together are better than one of them",
        _at(SPARSE),
        ("GGR SET", "GGR RigL"),
    ),
    *(
        Claim(
            "GGR leaves the most neurons empty",
            "empty neurons, %",
            _empty,
            "GGR",
            name,
            where=_at(SPARSE, "erk"),
        )
        for name in OTHERS
    ),
]
