"""SRigL: structured RigL, with a constant fan-in and neuron ablation.

Lasby, Golubeva, Evci, Nica and Ioannou, "Dynamic sparse training with structured
sparsity", ICLR 2024, section 3; details as in the authors' code
(calgaryml/condensed-sparsity).

Every output neuron has the same number k of inputs. Let n be the fraction of the nnz
connections that an update replaces, or the number of weights that are 0 if that is
larger. In each layer an update

    1. calls salient the nnz - n connections of largest magnitude and the n cells of
       largest gradient, connected or not
    2. ablates neurons with fewer salient inputs than gamma_salience k: they lose all.
       So many have to stay as would hold the connections with all inputs, rounded
       down, and one more
    3. divides the layer's budget by the number of remaining neurons, which gives k'
    4. keeps the nnz - n largest weights of these neurons, at most k' for each
    5. grows connections of each neuron up to k' where its gradient is largest; those
       just removed may come back, and keep weight and state

Start a net that is to be trained with SRigL with the pattern `constant_fan_in`.

Departures: a layer too large to look at all its cells looks at its connections and at a
sample of gamma k absent inputs of each neuron, where each candidate stands for several
cells (with 1 % of all cells for about 100, so that the count of a neuron's salient
inputs is rough and more neurons are ablated); where the sample does not suffice, inputs
are drawn uniformly; an overfull neuron keeps its largest weights, where the code makes
an arbitrary choice; k in the threshold is that of all neurons, also when some have been
ablated.
"""

from collections.abc import Iterator

import numpy as np

from truesparse.common.checks import check_not_negative
from truesparse.common.rng import Purpose
from truesparse.drawing.cells import is_among
from truesparse.topology.parts.gradients import CellGradients, largest_gradients
from truesparse.topology.parts.guided import (
    GuidedGrowth,
    largest_weighted,
    ranks_by_group,
)
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.schedule import Fraction, Share, UpdateSchedule
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update

# Connections that are counted, or cells that are looked at, at a time.
_PART = 1 << 17


class Srigl(GuidedGrowth):
    """Structured RigL: all neurons have the same number of inputs.

    Parameters
    ----------
    gamma_salience : float
        Share of a neuron's inputs that must be salient for the neuron to stay; from 1
        upwards the number of such inputs; 0 ablates none.
    **options
        See GuidedGrowth and TopologyAlgorithm; the defaults of zeta, decay, decay_end
        and schedule are those of RigL.
    """

    name = "srigl"
    keeps_regrown = True
    # Some seconds, too: cells are looked at twice, and ranked.
    most_products = 2e9
    conserves = False  # the number is rounded to whole neurons
    # A constant fan-in rules out chain removal, importance pruning and a layer that
    # stands still.
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
        # Connections are candidates, too. All are ranked, with columns, before the
        # new indices exist, of 4 bytes.
        candidate, ranked = 8 + itemsize, (self.gamma + 1.0) * (12 + itemsize)
        return of_all + candidate, max(of_one, ranked - 4)

    def drop(self, update: Update) -> None:
        """Mark small weights, inputs of ablated neurons, and surplus inputs."""
        if self.drop_fraction(update.context) == 0.0 and self.share.is_one:
            return
        counts = {}
        for index, connections in update.connections.items():
            magnitudes = np.abs(connections.values)
            # All weights of 0 go.
            n_zero = connections.nnz - int(np.count_nonzero(magnitudes))
            counts[index] = max(self.drop_count(update, index), n_zero)
            update.dropped[index] = drop_smallest(magnitudes, counts[index])
        for index, gained in self._gained(update, counts).items():
            connections = update.connections[index]
            salient = gained + _fan_ins(connections, update.dropped[index])
            active = self._active(update, index, salient)
            n_active = int(np.count_nonzero(active))
            # With fewer connections than neurons, one each is the least fan-in.
            fan_in = max(1, self.budget(update, index) // n_active)
            fan_in = min(fan_in, connections.n_in)
            # Other neurons may keep more, since ablated ones lose all.
            ablated = ~active[connections.indices]
            magnitudes = np.abs(connections.values)
            magnitudes[ablated] = -1.0
            count = max(counts[index], int(np.count_nonzero(ablated)))
            dropped = drop_smallest(magnitudes, count)
            have = _fan_ins(connections, dropped)
            if have.max() > fan_in:
                _cap_neurons(connections, magnitudes, dropped, fan_in)
                np.minimum(have, fan_in, out=have)
            update.dropped[index] = dropped
            wanted = np.where(active, fan_in - have, 0).astype(np.int32)
            update.notes[index] = wanted, update.notes.get(index)

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Fill up every active neuron where its gradient is largest."""
        notes, update.notes = update.notes, {}
        grown = dict.fromkeys(update.connections, np.empty(0, np.int64))
        best: dict[int, list[np.ndarray]] = {index: [] for index in notes}

        def observe(index, inputs, delta):
            if index not in notes or notes[index][1] is not None:
                return
            connections, (wanted, _) = update.connections[index], notes[index]
            for keys in _column_blocks(connections, wanted):
                gradients = CellGradients({index: connections}, {index: keys.ravel()})
                gradients(index, inputs, delta)
                sizes = np.abs(gradients.sums[index]).reshape(keys.shape)
                candidates = _largest_of_each(update, index, wanted, keys, sizes)
                best[index].append(_best_of_each(update, index, wanted, *candidates))

        if any(candidates is None for _, candidates in notes.values()):
            update.batches.observe(update.context, 1, observe)
        for index, (wanted, candidates) in notes.items():
            update.growth[index] = "exact" if candidates is None else "sampled"
            if candidates is not None:
                best[index].append(_best_of_each(update, index, wanted, *candidates))
            keys = np.sort(np.concatenate([np.empty(0, np.int64), *best.pop(index)]))
            grown[index] = self._fill_neurons(update, index, keys, wanted)
        return grown

    def draw_candidates(
        self, update: Update, layers: list[int]
    ) -> dict[int, np.ndarray]:
        """Draw absent inputs of each neuron, gamma times as many as it has.

        All connections are candidates, too. Keys ascend by column, then by row.
        """
        keys = {}
        for index in layers:
            connections = update.connections[index]
            n_in, n_out = connections.n_in, connections.n_out
            n_inputs = int(np.ceil(self.gamma * connections.nnz / n_out))
            if 2 * n_inputs >= n_in:
                cells = np.arange(n_in * n_out).reshape(n_in, n_out).T.ravel()
            else:
                draw = update.stream(Purpose.CANDIDATES, index)
                cells = draw_inputs(np.full(n_out, n_inputs), n_in, draw)
                cells = np.concatenate(
                    [
                        cells[~connections.contains(cells)],
                        connections.keys(connections.view.permutation),
                    ]
                )
                cells = cells[np.argsort(cells % n_out, kind="stable")]
            keys[index] = cells
        return keys

    def _gained(self, update, counts) -> dict[int, np.ndarray]:
        """Return how many cells of largest gradient each neuron has that would go.

        The candidates of layers that look at a sample are in the notes then.

        Parameters
        ----------
        update : Update
            Its marks are of the weights that are not salient by their magnitude.
        counts : dict of int to int
            Number of cells of largest gradient in each layer.

        Returns
        -------
        dict of int to (n_out,) float array
        """
        exact = {index for index in counts if self._is_exact(update, index)}
        drawn = self.draw_candidates(update, [i for i in counts if i not in exact])
        gradients = CellGradients(update.connections, drawn)
        best: dict[int, np.ndarray] = {}

        def observe(index, inputs, delta):
            if index not in exact:
                gradients(index, inputs, delta)
                return
            connections = update.connections[index]
            every_cell = connections, np.ones(connections.nnz, bool)
            keys, _ = largest_gradients(*every_cell, counts[index], inputs, delta)
            best[index] = keys

        update.batches.observe(update.context, self.gradient_batches, observe)
        gained = {}
        for index, count in counts.items():
            connections = update.connections[index]
            if index in exact:
                keys, stand_for = best[index], np.ones(best[index].size)
            else:
                keys, sizes = drawn.pop(index), np.abs(gradients.sums.pop(index))
                update.notes[index] = keys, sizes
                is_absent = ~connections.contains(keys)
                absent = connections.n_in * connections.n_out - connections.nnz
                n_absent = max(int(np.count_nonzero(is_absent)), 1)
                stand_for = np.where(is_absent, absent / n_absent, 1.0)
                chosen = largest_weighted(sizes, stand_for, count)
                keys, stand_for = keys[chosen], stand_for[chosen]
            goes = _is_free(update, index, keys)
            gained[index] = np.bincount(
                keys[goes] % connections.n_out, stand_for[goes], connections.n_out
            )
        return gained

    def _active(self, update, index, salient) -> np.ndarray:
        """Return which neurons stay: those with enough salient inputs."""
        connections, budget = update.connections[index], self.budget(update, index)
        if index == len(update.model.layers) - 1 or self.gamma_salience == 0.0:
            return np.ones(connections.n_out, bool)
        limit = self.gamma_salience
        if limit < 1.0:
            limit = float(max(1, int(limit * (budget // connections.n_out))))
        # The code's counts[min_neurons], from 0: one more than the budget fills.
        n_least = min(budget // connections.n_in + 1, connections.n_out)
        limit = min(limit, np.partition(salient, -n_least)[-n_least])
        return salient >= limit

    def _fill_neurons(self, update, index, keys, wanted) -> np.ndarray:
        """Add uniformly drawn inputs until every neuron has as many as it wants."""
        connections = update.connections[index]
        draw = update.stream(Purpose.FILLING, index)
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
            cells = cells[_is_free(update, index, cells) & ~is_among(cells, keys)]
            columns = cells % connections.n_out
            order = draw.random(cells.size)
            chosen = (
                ranks_by_group(columns, order, connections.n_out) < missing[columns]
            )
            keys = np.sort(np.concatenate([keys, cells[chosen]]))


def _is_free(update, index, keys) -> np.ndarray:
    """Return which cells are not connected, or dropped."""
    emptied = update.dropped_keys(index)
    return ~update.connections[index].contains(keys) | is_among(keys, emptied)


def _column_blocks(connections, wanted) -> Iterator[np.ndarray]:
    """Yield the cells of neurons that want inputs, (n_neurons, n_in), part by part."""
    columns = np.flatnonzero(wanted)
    rows = np.arange(connections.n_in) * connections.n_out
    n_columns = max(_PART // connections.n_in, 1)
    for start in range(0, columns.size, n_columns):
        yield columns[start : start + n_columns, None] + rows


def _largest_of_each(update, index, wanted, keys, sizes) -> tuple:
    """Return so many cells of each neuron that those it wants are among them.

    Keys and sizes, (n_neurons, n_in), come back as lists. Sorting all cells would take
    most of an update.
    """
    connections, marks = update.connections[index], update.dropped[index]
    columns, view = keys[:, 0], connections.view
    starts, ends = view.indptr[columns], view.indptr[columns + 1]
    neurons = np.repeat(np.arange(columns.size), ends - starts)
    entries = np.arange(neurons.size) + np.repeat(
        ends - np.cumsum(ends - starts), ends - starts
    )
    stays = ~marks[view.permutation[entries]]
    sizes[neurons[stays], view.rows[entries[stays]]] = 0.0
    n_most = int(wanted[columns].max())
    if n_most < connections.n_in:
        best = np.argpartition(sizes, connections.n_in - n_most, axis=1)[:, -n_most:]
        best.sort(axis=1)
        keys = np.take_along_axis(keys, best, axis=1)
        sizes = np.take_along_axis(sizes, best, axis=1)
    return keys.ravel(), sizes.ravel()


def _best_of_each(update, index, wanted, keys, sizes) -> np.ndarray:
    """Return each neuron's cells of largest gradient, as many as it wants.

    Cells that stay connected and gradients of 0 are left out. Keys ascend by column.
    """
    n_out = update.connections[index].n_out
    sizes = np.where(_is_free(update, index, keys), sizes, sizes.dtype.type(0))
    columns = np.empty(keys.size, np.int32)
    np.remainder(keys, n_out, out=columns, casting="unsafe")
    chosen = ranks_by_group(columns, sizes, n_out) < wanted[columns]
    return keys[chosen & (sizes > 0)]


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
