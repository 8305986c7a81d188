"""Values of all options of all topologies, to draw some of."""

import contextlib
from typing import Any

from truesparse.drawing.cells import INITIALIZERS
from truesparse.errors import UsageError
from truesparse.topology import ALGORITHMS, UpdateSchedule, make
from truesparse.topology.cht import REMOVALS
from truesparse.topology.gse import DISTRIBUTIONS
from truesparse.topology.magnitude import SCOPES
from truesparse.topology.parts.paths import RULES
from truesparse.topology.parts.schedule import DECAYS, SHAPES
from truesparse.topology.snfs import STATISTICS

OPTIONS: dict[str, tuple] = {
    # Of all topologies: how much, when and which layers.
    "zeta": (0.0, 0.1, 0.3, 0.5),
    "decay": tuple(DECAYS),
    "decay_end": (0.5, 1.0),
    "decay_floor": (0.0, 0.05),
    "evolve_output": (True, False),
    "chain_removal": (True, False),
    "early_stop": (0.5, 0.9),
    "final_share": (1.0, 0.5, 0.1),
    "share_shape": tuple(SHAPES),
    "share_end": (0.5, 1.0),
    "share_peak": (1.5, 2.0),
    "share_cycles": (1, 3),
    "surplus": ("score", "relative"),
    "importance": (0.0, 0.2),
    "importance_every": (1, 2),
    "importance_start": (0.0, 0.5),
    "final": ("none", "prune_only"),
    "regrow_init": tuple(INITIALIZERS),
    # Of some.
    "candidates": ("exact", "sampled"),
    "distribution": DISTRIBUTIONS,
    "error_weight": (0.5, 0.9),
    "exploration": (1e-3, 0.1),
    "extra": (0.2, 1.0),
    "gamma": (1.0, 100.0),
    "gamma_salience": (0.0, 0.5),
    "gradient_batches": (1, 2),
    "gradient_share": (0.0, 0.5, 1.0),
    "gradient_weight": (0.0, 0.5),
    "grow_by": ("cell", "neuron"),
    "grow_until": (0.5, 1.0),
    "l1": (1e-5, 1e-3),
    "last_temperature": (0.0, 3.0),
    "least_share": (0.2, 0.8),
    "most_growth": (1.5, 3.0),
    "penalty": (0.0, 1e-3),
    "pool_momentum": (0.0, 0.9),
    "prune_at": (0.5, 1.0),
    "prune_biases": (True, False),
    "prune_threshold": (0.05, 0.5),
    "redistribution": STATISTICS,
    "removal": (*REMOVALS, "per_sign", "taylor"),
    "rescale": (True, False),
    "rule": tuple(RULES),
    "scope": SCOPES,
    "smoothing": (0.5, 1.0),
    "soft_bound": (True, False),
    "temperature": (0.0, 1e-6, 200.0),
    "threshold": (1e-3, 1e-2),
    "unfired_first": (True, False),
    "weight_init": tuple(name for name in INITIALIZERS if name != "zero"),
    "window": (5.0, 10.0),
    # Small enough for all to happen within a short run.
    "sample_every": (1, 2),
    "rounds": (2,),
    "rewind_epoch": (0, 1),
}
# Drawn in every run.
_ALWAYS = ("sample_every", "rounds", "rewind_epoch")


def draw_options(draw: Any, name: str, n_layers: int) -> dict[str, Any]:
    """Return options of a topology for a network of `n_layers` layers.

    A value that the topology refuses, as it is or beside the others, is left out.
    """
    taken = ALGORITHMS[name].options()
    options: dict[str, Any] = {}
    if "schedule" in taken:
        every = max(2, int(draw.integers(1, 5)))
        options["schedule"] = UpdateSchedule(every, "step", start=every)
    for option, values in OPTIONS.items():
        if option in taken and (option in _ALWAYS or draw.random() < 0.2):
            drawn = options | {option: values[draw.integers(len(values))]}
            with contextlib.suppress(UsageError):
                make(name, **drawn)
                options = drawn
    if "layers" in taken and "evolve_output" not in options and draw.random() < 0.2:
        options["layers"] = [int(draw.integers(n_layers))]
    return options
