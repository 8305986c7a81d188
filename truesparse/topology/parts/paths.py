"""Scores of cells by paths of three connections, in the pattern that remains.

Muscoloni, Abdelhamid and Cannistraci, "Local-community network automata modelling
based on length-three-paths for prediction of complex network structures in protein
interactomes, food webs and more", bioRxiv (2018), and Zhang et al., "Epitopological
learning and Cannistraci-Hebb network shape intelligence brain-inspired theory for
ultra-sparse advantage in deep learning", ICLR 2024. For an absent cell (u, v) and the
paths u - z1 - z2 - v, with degrees d and

    di_z1 = Q[z1,v], the inputs that outputs z1 and v share,   e_z1 = d_z1 - Q[z1,v],
    di_z2 = P[z2,u], the outputs that inputs z2 and u share,   e_z2 = d_z2 - P[z2,u],

the scores are sums

    ch3_l3p   over paths of 1 / sqrt(e_z1 e_z2)
    ch2_l3p   over paths of sqrt((1 + di_z1) (1 + di_z2) / (e_z1 e_z2))
    ra_l3     over paths of 1 / sqrt(d_z1 d_z2)
    ch3_l3n   over all z1 of 1 / e_z1, and over all z2 of 1 / e_z2
    ch2_l3n   over all z1 of (1 + di_z1) / e_z1, and likewise over all z2

where e is one more than the number of neighbours outside of u, v and their paths.
"""

import itertools

import numpy as np

from truesparse.common.checks import check_whole, choose
from truesparse.errors import UsageError
from truesparse.kernels import paths as kernels
from truesparse.kernels.paths import Found, Graph, Scratch
from truesparse.kernels.rewire import count_kept
from truesparse.sparse.balance import balance
from truesparse.sparse.connections import Connections

RULES = {
    "ch3_l3p": kernels.CH3_L3P,
    "ch2_l3p": kernels.CH2_L3P,
    "ra_l3": kernels.RA_L3,
    "ch3_l3n": kernels.CH3_L3N,
    "ch2_l3n": kernels.CH2_L3N,
}
# Each task counts in its own arrays: few tasks where these are long, as for the column
# view, more where they are short beside the connections.
_FEWEST_TASKS, _MOST_TASKS = 4, 16
# Cells that are scored between two selections, at least: 16 MB, and quick to select.
_ROUND_SIZE = 1 << 20


def remaining_pattern(connections: Connections, dropped: np.ndarray) -> Graph:
    """Return the pattern without the dropped connections, by rows and by columns.

    Parameters
    ----------
    connections : Connections
    dropped : (nnz,) bool array

    Returns
    -------
    Graph
        New arrays, O(nnz) time and memory.

    Raises
    ------
    UsageError
        If `dropped` is not one bool a connection.
    """
    if dropped.shape != (connections.nnz,) or dropped.dtype != bool:
        raise UsageError(
            f"dropped must be {connections.nnz} bools, got {dropped.dtype} of shape "
            f"{dropped.shape}"
        )
    indptr = np.empty(connections.n_in + 1, np.int64)
    count_kept(connections.row_tasks, connections.indptr, dropped, indptr)
    np.cumsum(indptr, out=indptr)
    columns = connections.indices[~dropped]
    view = connections.view
    column_indptr = np.zeros(connections.n_out + 1, np.int64)
    np.cumsum(np.bincount(columns, minlength=connections.n_out), out=column_indptr[1:])
    rows = view.rows[~dropped[view.permutation]]
    return Graph(indptr, columns, column_indptr, rows)


def transposed(graph: Graph) -> Graph:
    """Return the same pattern with inputs and outputs exchanged; nothing is copied."""
    return Graph(graph.column_indptr, graph.rows, graph.indptr, graph.columns)


def neighbour_sums(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Return the sum of whole `values` over the neighbours of each neuron.

    Parameters
    ----------
    indptr : (n + 1,) int64 array
    indices : (nnz,) int32 array
    values : (m,) int64 array

    Returns
    -------
    (n,) int64 array
    """
    totals = np.zeros(indices.size + 1, np.int64)
    # NumPy writes to `out` directly only in a mode that does not raise.
    np.take(values, indices, out=totals[1:], mode="clip")
    np.cumsum(totals, out=totals)
    return np.diff(totals[indptr])


def n_tasks_for(graph: Graph, length: int) -> int:
    """Return how many tasks may count, each in its own array of `length` numbers."""
    return int(np.clip(graph.columns.size // length, _FEWEST_TASKS, _MOST_TASKS))


def path_work(connections: Connections, dropped: np.ndarray) -> int:
    """Return the number of walks of three connections, which sets the time of scores.

    Parameters
    ----------
    connections : Connections
    dropped : (nnz,) bool array
        Connections that count as absent.

    Returns
    -------
    int
        Sum of d_z1 d_z2 over all remaining connections (z2, z1): about nnz d^2.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.drawing.cells import erdos_renyi
    >>> full = erdos_renyi(3, 4, 12, np.random.default_rng(0))
    >>> path_work(full, np.zeros(12, bool))
    144
    """
    graph = remaining_pattern(connections, dropped)
    degrees = np.diff(graph.column_indptr)
    reach = neighbour_sums(graph.column_indptr, graph.rows, np.diff(graph.indptr))
    about = float(np.dot(degrees.astype(np.float64), reach.astype(np.float64)))
    # Beyond 64 bits the last digits do not matter.
    return int(about) if about > 2.0**62 else int(np.dot(degrees, reach))


def highest_scores(
    connections: Connections,
    dropped: np.ndarray,
    count: int,
    rule: str = "ch3_l3p",
    generator: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the absent cells of highest score.

    The result is exact, in time proportional to `path_work` and memory O(nnz + count):
    rows are scored in rounds, and only the best `count` cells so far are held.

    Parameters
    ----------
    connections : Connections
    dropped : (nnz,) bool array
        Connections that count as absent: they form no paths, and their cells can be
        chosen.
    count : int
    rule : {"ch3_l3p", "ch2_l3p", "ra_l3", "ch3_l3n", "ch2_l3n"}
    generator : numpy Generator, optional
        Chooses uniformly among equal scores; without one the lower keys are chosen.

    Returns
    -------
    keys : (k,) int64 array
        Cells ``row * n_out + column``, ascending; fewer than `count` if no more have
        a score above 0.
    scores : (k,) float64 array

    Raises
    ------
    UsageError
        For an unknown rule, a negative count or marks that are not one bool a
        connection.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from truesparse.sparse.connections import Connections
    >>> chain = Connections.from_scipy(sparse.csr_array([[1.0, 0.0], [1.0, 1.0]]))
    >>> highest_scores(chain, np.zeros(3, bool), 5)
    (array([1]), array([1.]))
    """
    code = RULES[choose(rule, RULES, "rule of path scores")]
    check_whole("count", count, 0)
    graph = remaining_pattern(connections, dropped)
    best = _Best(count, generator)
    if count > 0:
        scorer = _Scorer(graph, code, max(_ROUND_SIZE, 2 * count))
        for first, last in itertools.pairwise(scorer.cuts):
            best.add(*scorer.score(first, last, best.threshold))
    return best.ascending()


class _Best:
    """The `count` best cells so far, and a few more.

    Of equal scores those of lowest rank are best: a random one, or the key. Cells that
    score no more than `threshold` need not be added.
    """

    def __init__(self, count: int, generator: np.random.Generator | None):
        self.count, self.generator = count, generator
        self.keys, self.scores = np.empty(0, np.int64), np.empty(0)
        self.ranks = np.empty(0, np.int64 if generator is None else np.uint32)
        self.threshold = 0.0

    def add(self, keys: np.ndarray, scores: np.ndarray) -> None:
        """Add cells."""
        ranks = keys
        if self.generator is not None:
            # Half as long as keys: a round adds a million.
            ranks = self.generator.integers(1 << 32, size=keys.size, dtype=np.uint32)
        self.keys = np.concatenate([self.keys, keys])
        self.scores = np.concatenate([self.scores, scores])
        self.ranks = np.concatenate([self.ranks, ranks])
        # Selections are worth their time when a quarter is new.
        if self.keys.size > self.count + self.count // 4:
            self._select()

    def ascending(self) -> tuple[np.ndarray, np.ndarray]:
        """Return keys and scores of the best, by ascending keys."""
        if self.keys.size > self.count:
            self._select()
        order = np.argsort(self.keys)
        return self.keys[order], self.scores[order]

    def _select(self) -> None:
        place = self.keys.size - self.count
        lowest = float(np.partition(self.scores, place)[place])
        is_best = self.scores > lowest
        ties = np.flatnonzero(self.scores == lowest)
        n_ties = self.count - int(np.count_nonzero(is_best))
        is_best[ties[np.argsort(self.ranks[ties])[:n_ties]]] = True
        self.keys, self.scores = self.keys[is_best], self.scores[is_best]
        self.ranks = self.ranks[is_best]
        # Rows still to come have higher keys, and lose by them; not by random ranks.
        self.threshold = lowest
        if self.generator is not None:
            self.threshold = float(np.nextafter(lowest, 0.0))


class _Scorer:
    """Scores rows of a pattern, in rounds that each find at most about `size` cells.

    `cuts` are the rows at which rounds start, and the end.
    """

    def __init__(self, graph: Graph, code: int, size: int):
        self.graph = graph
        n_in, n_out = graph.indptr.size - 1, graph.column_indptr.size - 1
        degrees = np.diff(graph.indptr)
        largest = max(int(degrees.max()), int(np.diff(graph.column_indptr).max()))
        inverse_roots = np.zeros(largest + 2)
        inverse_roots[1:] = 1.0 / np.sqrt(np.arange(1, largest + 2))
        self.rule = code, inverse_roots
        reach = neighbour_sums(graph.column_indptr, graph.rows, degrees)
        self.work = neighbour_sums(graph.indptr, graph.columns, reach)
        self.walks = _running_total(self.work)
        self.cells = _running_total(np.minimum(self.work, n_out))
        n_rounds = 1 + int(self.cells[-1]) // size
        inner = np.searchsorted(self.cells, size * np.arange(1, n_rounds))
        self.cuts = np.unique(np.concatenate([[0], inner, [n_in]]))
        room = 1 << (int(min(2 * self.work.max(), n_out)) - 1).bit_length()
        n_tasks = n_tasks_for(graph, max(room, n_in))
        table = np.zeros((n_tasks, room, 4))
        table[:, :, 0] = -1.0
        slots = np.empty((n_tasks, 2, room), np.int32)
        self.scratch = Scratch(np.zeros((n_tasks, n_in), np.int32), table, slots)
        most = int(np.diff(self.cells[self.cuts]).max())
        self.results = np.empty(most, np.int64), np.empty(most)

    def score(
        self, first: int, last: int, threshold: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return keys and scores of the rows' absent cells above the threshold."""
        walks = self.walks[first : last + 1] - self.walks[first]
        starts = first + balance(walks, len(self.scratch.table))
        places = self.cells[starts] - self.cells[first]
        counts = np.zeros(starts.size - 1, np.int64)
        kernels.score_rows(
            starts,
            self.graph,
            self.work,
            self.rule,
            threshold,
            self.scratch,
            Found(places, counts, *self.results),
        )
        pairs = zip(places[:-1], places[:-1] + counts, strict=True)
        parts = [slice(*pair) for pair in pairs]
        keys, scores = self.results
        return (
            np.concatenate([keys[part] for part in parts]),
            np.concatenate([scores[part] for part in parts]),
        )


def _running_total(numbers: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(numbers)])
