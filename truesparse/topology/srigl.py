"""SRigL: structured RigL, with a constant fan-in and neuron ablation.

Lasby, Golubeva, Evci, Nica and Ioannou, "Dynamic sparse training with structured
sparsity", ICLR 2024, section 3; details as in the authors' code
(calgaryml/condensed-sparsity).

Every output neuron has the same number k of inputs. Let n be the fraction of the nnz
connections that an update replaces, or the number of weights that are 0 if that is
larger. In each layer an update

    1. calls salient the nnz - n connections of largest magnitude and the n absent cells
       of largest gradient
    2. ablates neurons with fewer salient inputs than gamma_salience k: they lose all
    3. divides the layer's budget by the number of remaining neurons, which gives k'
    4. keeps the nnz - n largest weights of these neurons, at most k' for each
    5. grows connections of each neuron up to k' where its gradient is largest

Start a net that is to be trained with SRigL with the pattern `constant_fan_in`.

Departures: gradients are taken at a sample of gamma k absent inputs of each neuron (all
of them in small layers), where each candidate stands for several cells; cells that are
connected before the update are no candidates, where the code lets them come back at
once; where the sample does not suffice, inputs are drawn uniformly; an overfull neuron
keeps its largest weights, where the code makes an arbitrary choice; k in the threshold
is that of all neurons, also when some have been ablated; as many neurons stay as hold
the whole budget, where the code may leave one fewer.
"""

import numpy as np

from truesparse.checks import check_not_negative
from truesparse.drawing.cells import is_among
from truesparse.kernels.ranks import rank_groups
from truesparse.rng import Purpose
from truesparse.sparse.balance import balance
from truesparse.topology.parts.guided import SampledGradients, largest
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.schedule import Fraction, Share, UpdateSchedule
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update

# Connections that are counted at a time.
_PART = 1 << 20


class Srigl(SampledGradients):
    """Structured RigL: all neurons have the same number of inputs.

    Parameters
    ----------
    gamma_salience : float
        Share of a neuron's inputs that must be salient for the neuron to stay; from 1
        upwards the number of such inputs; 0 ablates none.
    **options
        See SampledGradients and TopologyAlgorithm; the defaults of zeta, decay,
        decay_end and schedule are those of RigL.
    """

    name = "srigl"
    conserves = False  # the number is rounded to whole neurons
    # A constant fan-in rules out chain removal and importance pruning. Nothing comes
    # back in the update that removed it: no early stop.
    takes = (
        *(*Fraction.OPTIONS, "schedule", *Layers.OPTIONS, *Share.OPTIONS),
        *("final", "regrow_init"),
    )
    fraction = Fraction(0.3, "cosine", end=0.75)
    schedule = UpdateSchedule(100, "step", start=100)

    def __init__(self, *, gamma_salience: float = 0.3, **options):
        super().__init__(**options)
        check_not_negative(gamma_salience=gamma_salience)
        self.gamma_salience = gamma_salience

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: candidates and ranks."""
        of_all, of_one = super().update_bytes(itemsize)
        # Candidates are ranked before the new arrays exist, of 4 bytes and a weight.
        return of_all, max(of_one, self.gamma * (8 + itemsize) - (4 + itemsize))

    def drop(self, update: Update) -> None:
        """Mark small weights, inputs of ablated neurons, and surplus inputs."""
        if self.drop_fraction(update.context) == 0.0 and self.share.final == 1.0:
            return
        layers = list(update.connections)
        sums = self.sampled_gradients(update, layers)
        for index in layers:
            connections, (keys, sizes) = update.connections[index], sums[index]
            magnitudes = np.abs(connections.values)
            # All weights of 0 go.
            n_zero = connections.nnz - int(np.count_nonzero(magnitudes))
            count = max(self.drop_count(update, index), n_zero)
            dropped = drop_smallest(magnitudes, count)
            active = self._active(update, index, dropped, keys, sizes, count)
            n_active = int(np.count_nonzero(active))
            fan_in = min(self.budget(update, index) // n_active, connections.n_in)
            # Other neurons may keep more, since ablated ones lose all.
            ablated = ~active[connections.indices]
            magnitudes[ablated] = -1.0
            count = max(count, int(np.count_nonzero(ablated)))
            dropped = drop_smallest(magnitudes, count)
            have = _fan_ins(connections, dropped)
            if have.max() > fan_in:
                _cap_neurons(connections, magnitudes, dropped, fan_in)
                np.minimum(have, fan_in, out=have)
            update.dropped[index] = dropped
            wanted = np.where(active, fan_in - have, 0).astype(np.int32)
            update.notes[index] = wanted, keys, sizes

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Fill up every active neuron where its gradient is largest."""
        grown = dict.fromkeys(update.connections, np.empty(0, np.int64))
        for index in [index for index in update.connections if index in update.notes]:
            connections = update.connections[index]
            wanted, keys, sizes = update.notes.pop(index)
            columns = np.empty(keys.size, np.int32)
            np.remainder(keys, connections.n_out, out=columns, casting="unsafe")
            chosen = ranks_by_group(columns, sizes, connections.n_out) < wanted[columns]
            best = np.sort(keys[chosen & (sizes > 0)])
            del columns, chosen, keys, sizes
            grown[index] = self._fill_neurons(update, index, best, wanted)
            update.growth[index] = "sampled"
        return grown

    def draw_candidates(
        self, update: Update, layers: list[int]
    ) -> dict[int, np.ndarray]:
        """Draw absent inputs of each neuron, about gamma times as many as it has."""
        keys = {}
        for index in layers:
            connections = update.connections[index]
            n_inputs = int(np.ceil(self.gamma * connections.nnz / connections.n_out))
            if 2 * n_inputs >= connections.n_in:
                cells = np.arange(connections.n_in * connections.n_out)
                cells = cells.reshape(connections.n_in, connections.n_out).T.ravel()
            else:
                draw = update.stream(Purpose.CANDIDATES, index)
                cells = draw_inputs(
                    np.full(connections.n_out, n_inputs), connections.n_in, draw
                )
            keys[index] = cells[~connections.contains(cells)]
        return keys

    def _active(self, update, index, dropped, keys, sizes, count) -> np.ndarray:
        """Return which neurons stay: those with enough salient inputs."""
        connections = update.connections[index]
        salient = _fan_ins(connections, dropped)
        absent = connections.n_in * connections.n_out - connections.nnz
        stands_for = absent / max(keys.size, 1)
        n_best = min(round(count / max(stands_for, 1.0)), keys.size)
        best = keys[largest(sizes, n_best)]
        gained = np.bincount(best % connections.n_out, minlength=connections.n_out)
        salient = salient + gained * stands_for
        budget = self.budget(update, index)
        limit = self.gamma_salience
        if limit < 1.0:
            limit = float(max(1, int(limit * (budget // connections.n_out))))
        if index == len(update.model.layers) - 1 or self.gamma_salience == 0.0:
            limit = 0
        # The budget needs this many neurons even if they have all inputs.
        n_least = max(1, -(-budget // connections.n_in))
        limit = min(limit, np.partition(salient, -n_least)[-n_least])
        return salient >= limit

    def _fill_neurons(self, update, index, keys, wanted) -> np.ndarray:
        """Add uniformly drawn inputs until every neuron has as many as it wants."""
        connections = update.connections[index]
        draw = update.stream(Purpose.FILLING, index)
        emptied = update.dropped_keys(index)
        draws = 1
        while True:
            missing = wanted - np.bincount(
                keys % connections.n_out, minlength=connections.n_out
            )
            if not missing.any():
                return keys
            lacking = np.flatnonzero(missing)
            draws *= 2
            if draws * int(missing.max()) >= connections.n_in:
                # Neurons that are nearly full try all inputs.
                rows = np.arange(connections.n_in) * connections.n_out
                cells = (lacking[:, None] + rows).ravel()
            else:
                cells = draw_inputs(draws * missing, connections.n_in, draw)
            is_free = ~connections.contains(cells) | is_among(cells, emptied)
            cells = cells[is_free & ~is_among(cells, keys)]
            columns = cells % connections.n_out
            order = draw.random(cells.size)
            chosen = (
                ranks_by_group(columns, order, connections.n_out) < missing[columns]
            )
            keys = np.sort(np.concatenate([keys, cells[chosen]]))


def _fan_ins(connections, dropped) -> np.ndarray:
    """Return how many inputs each neuron keeps.

    They are counted part by part, since NumPy copies indices as int64.
    """
    counts = np.zeros(connections.n_out, np.int64)
    for start in range(0, connections.nnz, _PART):
        part = slice(start, start + _PART)
        columns = connections.indices[part][~dropped[part]]
        counts += np.bincount(columns, minlength=connections.n_out)
    return counts


def _cap_neurons(connections, magnitudes, dropped, fan_in) -> None:
    """Drop the smallest weights of neurons that have more than `fan_in` left."""
    view = connections.view
    sizes = np.where(dropped, -1.0, magnitudes)[view.permutation]
    columns = connections.indices[view.permutation]
    surplus = ranks_by_group(columns, sizes, connections.n_out) >= fan_in
    dropped[view.permutation[surplus]] = True


def draw_inputs(
    counts: np.ndarray, n_in: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw inputs of output neurons uniformly, and return them as distinct keys.

    Parameters
    ----------
    counts : (n_out,) int array
        Number of draws for each neuron; repeated inputs are left out.
    n_in : int

    Returns
    -------
    (k,) int64 array
        Keys ``row * n_out + column``, ascending by column and then by row.
    """
    # In place where possible: there may be as many candidates as connections.
    cells = np.repeat(np.arange(counts.size), counts)
    cells *= n_in
    cells += generator.integers(0, n_in, cells.size)
    cells.sort()
    is_first = np.ones(cells.size, bool)
    np.not_equal(cells[1:], cells[:-1], out=is_first[1:])
    cells = cells[is_first]
    keys = cells % n_in
    keys *= counts.size
    cells //= n_in
    keys += cells
    return keys


def ranks_by_group(groups: np.ndarray, sizes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return each entry's rank by size within its group, the largest being 0.

    Parameters
    ----------
    groups : (k,) int array
        Ascending.
    sizes : (k,) float array
        Among equal sizes the first has the lower rank.
    n_groups : int

    Returns
    -------
    (k,) int32 array

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.topology.srigl import ranks_by_group
    >>> ranks_by_group(np.array([1, 3, 3, 3]), np.array([0.1, 0.2, 0.5, 0.3]), 4)
    array([0, 2, 0, 1], dtype=int32)
    """
    bounds = np.zeros(n_groups + 1, np.int64)
    np.cumsum(np.bincount(groups, minlength=n_groups), out=bounds[1:])
    ranks = np.empty(groups.size, np.int32)
    rank_groups(balance(bounds), bounds, sizes, ranks)
    return ranks
