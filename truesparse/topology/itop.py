"""SET-ITOP: exploration of as many cells as possible in the time of training.

Liu, Yin, Mocanu and Pechenizkiy, "Do we actually need dense over-parameterization?
In-time over-parameterization in sparse training", ICML 2021; details as in the authors'
code (Shiweiliuiiiiiii/In-Time-Over-Parameterization), with its growth "random_unfired".

Updates are rare, so that weights are trained before they are judged. Each layer loses
the fraction of its connections of smallest magnitude, and grows as many in cells that
have never been connected in the run, uniformly drawn. Once there are too few of these,
all of them grow, and the rest is drawn from the other absent cells.

Instead of a mark for every cell, each layer has a list of the cells that were connected
in the run: 8 bytes each.

Departures: the number that goes is rounded down, not up; of equally small weights only
as many go as are to go; where cells that have never been connected are too few, exactly
as many others grow as are missing, where each grows with a probability in the code.
"""

from typing import Any

import numpy as np

from truesparse.common.checks import check_bools
from truesparse.common.rng import Purpose
from truesparse.drawing.cells import is_among, sample_ranks
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.schedule import Fraction, UpdateSchedule, lower_floor
from truesparse.topology.parts.topology_update import Update
from truesparse.topology.taylor import TaylorRemoval


class Itop(TaylorRemoval):
    """In-time over-parameterization: cells that were never connected grow first.

    Parameters
    ----------
    unfired_first : bool
        Whether cells that have never been connected come first, or all absent ones
        are alike, as with the code's growth "random".
    **options
        See TaylorRemoval and Options; the defaults of zeta, decay, decay_floor and
        schedule are those of SET-ITOP.
    """

    name = "itop"
    fraction = Fraction(0.5, "cosine", floor=0.005)
    schedule = UpdateSchedule(1500, "step", start=1500)

    def __init__(self, *, unfired_first: bool = True, **options):
        super().__init__(**lower_floor(self.fraction, options))
        check_bools(unfired_first=unfired_first)
        self.unfired_first = unfired_first
        # Cells that were connected before the last update or after it, ascending.
        self._fired: dict[int, np.ndarray] = {}

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Forget the cells of an earlier run."""
        super().begin(model, batches)
        self._fired = {}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the cells that were connected."""
        fired = {str(index): keys for index, keys in self._fired.items()}
        return {**super().state(), "fired": fired}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        super().restore(state)
        self._fired = {int(index): keys for index, keys in state["fired"].items()}

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: cells, and their merge."""
        of_all, of_one = super().update_bytes(itemsize)
        return of_all + 8.0 * (1.0 + self.zeta), of_one + 16.0

    def visited_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds of a cell that was connected before: its key."""
        return (8.0, 16.0) if self.unfired_first else (0.0, 0.0)

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Draw cells that have never been connected, then others."""
        if not self.unfired_first:
            return super().grow(update)
        grown = {}
        for index, count in self.grow_counts(update).items():
            connections = update.connections[index]
            fired = self._merge(index, connections.keys(np.arange(connections.nnz)))
            n_unfired = connections.n_in * connections.n_out - fired.size
            n_first = min(count, n_unfired)
            draw = update.stream(Purpose.CANDIDATES, index)
            keys = ranks_besides(fired, sample_ranks(n_unfired, n_first, draw))
            grown[index] = self.fill_at_random(update, index, keys, count)
            update.growth[index] = f"new {n_first}, random {count - n_first}"
        return grown

    def _merge(self, index: int, keys: np.ndarray) -> np.ndarray:
        """Add ascending cells to those of a layer that were connected."""
        fired = self._fired.get(index)
        if fired is None:
            self._fired[index] = keys
        else:
            merged = np.concatenate([fired, keys[~is_among(keys, fired)]])
            merged.sort(kind="stable")
            self._fired[index] = merged
        return self._fired[index]


def ranks_besides(taken: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the numbers of these ranks among the whole numbers that are not taken.

    Parameters
    ----------
    taken : (k,) int64 array
        Ascending and distinct, not negative.
    ranks : (m,) int64 array
        Counted from 0; overwritten.

    Examples
    --------
    >>> import numpy as np
    >>> ranks_besides(np.array([0, 1, 4]), np.array([0, 1, 2, 3])).tolist()
    [2, 3, 5, 6]
    """
    # Below taken[i] are taken[i] - i free numbers; those of higher ranks lie above it.
    free_below = taken - np.arange(taken.size)
    ranks += np.searchsorted(free_below, ranks, side="right")
    return ranks
