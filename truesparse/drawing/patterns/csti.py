"""Correlated sparse topological initialisation (CSTI): connect what correlates.

Zhang et al., "Epitopological learning and Cannistraci-Hebb network shape intelligence
brain-inspired theory for ultra-sparse advantage in deep learning" (CHT, ICLR 2024;
code: biomedical-cybernetics/Cannistraci-Hebb-training). With C the Pearson correlation
of the input features over the training set (0 on the diagonal and for constant ones),
and hidden neuron j standing for feature j mod n_in, the nnz cells of largest |C_ij| are
connected; the soft variant draws them with probability proportional to |C_ij|, without
replacement.

C is computed one block of columns after the other, and only the best nnz cells so far
stay in memory, which is O(block of 2^21 numbers + nnz + n_in + n_out); time is
O(samples * n_in^2).

Departures: only the first layer is drawn like this, the others uniformly, where the
code takes the same C for every sparse layer. If fewer than nnz cells correlate at all,
uniform ones are added. Correlations count as equal if they are so in float32; of equal
ones, the cells that come first row by row are taken (the code takes all of them, more
than nnz). BLAS computes the sums: their last bits, which float32 seldom shows, may
depend on its number of threads.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.drawing.cells import check_counts, from_keys
from truesparse.drawing.patterns.placing import fill_up
from truesparse.errors import UsageError
from truesparse.sparse.connections import Connections, canonical_csr

BLOCK_CELLS = 1 << 21  # numbers of a scratch array, 16 MB
SCRATCH_BYTES = 84 * BLOCK_CELLS  # several such arrays at the peak
# A feature whose deviation is below this share of its mean is constant except for
# rounding: 0.1 does not average to exactly 0.1.
_ROUNDING = 1e-12


def csti(
    n_in: int,
    n_out: int,
    nnz: int,
    generator: np.random.Generator,
    dtype: type = np.float32,
    *,
    X: Any,
    soft: bool = False,
) -> Connections:
    """Connect inputs to the hidden neurons that stand for correlated features.

    Parameters
    ----------
    n_in, n_out, nnz : int
    generator : numpy Generator
    dtype : type
    X : (n_samples, n_in) array or scipy.sparse matrix
        Training data with two samples or more; sparse data are never densified as a
        whole.
    soft : bool
        Whether to draw by correlation instead of taking the largest.

    Raises
    ------
    UsageError
        If `X` has another shape or holds numbers that are not real or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0, 0.0], [1.0, 2.1, 0.0], [2.0, 2.9, 1.0]])
    >>> connections = csti(3, 3, 2, np.random.default_rng(0), X=X)
    >>> connections.rows().tolist(), connections.indices.tolist()
    ([0, 1], [1, 0])
    """
    n_in, n_out, nnz = check_counts(n_in, n_out, nnz)
    features = _Features(X, n_in)
    best = _Largest(nnz, n_out)
    for start, scores in features.correlations(min(n_in, n_out)):
        stop = start + scores.shape[1]
        # C is symmetric: its columns from the diagonal down are also its rows.
        for block, first in ((scores, start), (scores[stop - start :].T, stop)):
            for columns, hidden in _hidden_neurons(block.shape, first, n_in, n_out):
                chosen = block[:, columns]
                if soft:
                    # Efraimidis and Spirakis (2006): the largest weights over
                    # exponential numbers are a sample without replacement. The bound
                    # keeps them in float32.
                    times = generator.standard_exponential(chosen.shape)
                    chosen /= np.maximum(times, 1e-30, out=times)
                best.offer(chosen.astype(np.float32), start, hidden)
    keys = fill_up(best.keys(), n_in * n_out, nnz, generator)
    return from_keys(n_in, n_out, keys, dtype)


def _hidden_neurons(
    shape: tuple[int, int], first: int, n_in: int, n_out: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the hidden neurons that stand for features from `first` on.

    Yields
    ------
    columns : (k,) int64 array
        The feature of each neuron, minus `first`: below shape[1]. ``shape[0] * k`` is
        at most a block.
    hidden : (k,) int64 array
    """
    n_rows, n_features = shape
    turns = np.arange(first, n_out, n_in)
    hidden = (turns[:, None] + np.arange(n_features)).ravel()
    hidden = hidden[hidden < n_out]
    width = max(1, BLOCK_CELLS // max(n_rows, 1))
    for start in range(0, hidden.size, width):
        chosen = hidden[start : start + width]
        yield (chosen - first) % n_in, chosen


class _Features:
    """Training data, with their correlations a block of columns at a time."""

    def __init__(self, X: Any, n_in: int):
        self.is_sparse = scipy.sparse.issparse(X)
        try:
            X = canonical_csr(X) if self.is_sparse else np.asarray(X)
        except ValueError as error:
            raise UsageError(f"X is not a valid matrix: {error}") from None
        if X.ndim != 2 or X.shape[1] != n_in or X.shape[0] < 2:
            raise UsageError(
                f"X must hold two samples or more of n_in = {n_in} features, got shape "
                f"{X.shape}"
            )
        if X.dtype.kind not in "biuf":
            raise UsageError(f"X must hold real numbers, got {X.dtype}")
        self.X, self.n_in = X, n_in
        self.means = np.zeros(n_in)
        with np.errstate(over="ignore", invalid="ignore"):
            for part in self._parts(n_in):
                self.means += np.asarray(part.sum(0)).ravel() / X.shape[0]
            squares = self._squares()
        if not np.isfinite(squares).all():
            raise UsageError("X must not hold NaN, infinity, or numbers above 1e150")
        floor = X.shape[0] * (_ROUNDING * self.means) ** 2
        is_constant = ~(squares > floor)
        squares[is_constant] = 1.0
        self.scales = np.where(is_constant, 0.0, 1.0 / np.sqrt(squares))

    def correlations(self, n_columns: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield columns of |C| from the diagonal down, a block at a time.

        Yields
        ------
        start : int
        (n_in - start, width) float64 array
            ``|C[start:, start : start + width]|``, 0 on the diagonal.
        """
        start = 0
        while start < n_columns:
            width = max(1, BLOCK_CELLS // (self.n_in - start))
            width = min(width, n_columns - start)
            out = np.zeros((self.n_in - start, width))
            means = self.means[start:]
            for part in self._parts(width if self.is_sparse else len(out), start):
                if self.is_sparse:
                    # The other factor is centred, which is enough.
                    block = part[:, :width].toarray() - means[:width]
                else:
                    part -= means
                    block = part[:, :width]
                out += part.T @ block
            out *= self.scales[start:, None]
            out *= self.scales[start : start + width]
            np.abs(out, out=out)
            np.fill_diagonal(out[:width], 0.0)
            yield start, out
            start += width

    def _parts(self, n_columns: int, start: int = 0) -> Iterator[Any]:
        """Yield copies of the data in float64, from a feature on, a few rows at a time.

        A block holds `n_columns` numbers for each of the rows.
        """
        n_rows = max(1, BLOCK_CELLS // n_columns)
        for first in range(0, self.X.shape[0], n_rows):
            part = self.X[first : first + n_rows, start:]
            yield part.astype(np.float64)

    def _squares(self) -> np.ndarray:
        """Return the sum of squared deviations of each feature."""
        squares = np.zeros(self.n_in)
        for part in self._parts(self.n_in):
            if self.is_sparse:
                deviations = part.data - self.means[part.indices]
                n_absent = part.shape[0] - np.bincount(
                    part.indices, minlength=self.n_in
                )
                squares += np.bincount(part.indices, deviations**2, minlength=self.n_in)
                squares += n_absent * self.means**2
            else:
                squares += ((part - self.means) ** 2).sum(0)
        return squares


class _Largest:
    """The cells with the largest positive scores so far; of equal ones, the first."""

    def __init__(self, count: int, n_out: int):
        self.count, self.n_out = count, n_out
        self.least = np.nextafter(np.float32(0), np.float32(1))
        self.size = 0
        self.parts: list[tuple[np.ndarray, np.ndarray]] = []

    def offer(self, scores: np.ndarray, first_row: int, columns: np.ndarray) -> None:
        """Consider float32 scores of cells, in rows from `first_row` and `columns`."""
        cells = np.flatnonzero(scores >= self.least)
        if not cells.size:
            return
        rows, places = np.divmod(cells, columns.size)
        rows += first_row
        keys = rows * self.n_out + columns[places]
        self.parts.append((scores.ravel()[cells], keys))
        self.size += cells.size
        if self.size > 2 * self.count:
            self._reduce()

    def keys(self) -> np.ndarray:
        """Return at most `count` keys, ascending."""
        self._reduce()
        return np.sort(self.parts[0][1])

    def _reduce(self) -> None:
        empty = (np.empty(0, np.float32), np.empty(0, np.int64))
        columns = zip(*(self.parts or [empty]), strict=True)
        scores, keys = (np.concatenate(column) for column in columns)
        if scores.size > self.count:
            place = scores.size - self.count
            self.least = np.partition(scores, place)[place]
            above = np.flatnonzero(scores > self.least)
            ties = np.flatnonzero(scores == self.least)
            n_ties = self.count - above.size
            first = np.argpartition(keys[ties], n_ties - 1)[:n_ties]
            chosen = np.concatenate([above, ties[first]])
            scores, keys = scores[chosen], keys[chosen]
        self.size = scores.size
        self.parts = [(scores, keys)]
