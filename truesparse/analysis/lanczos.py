"""Lanczos's method for a symmetric matrix that is known by its products alone.

After k steps from a start q the matrix A is, on the Krylov space of q, tridiagonal: T
of size (k, k). The eigenvalues theta of T (Ritz values) and the squared first entries
tau of its eigenvectors are the nodes and weights of Gauss's quadrature,

    q' f(A) q  ~  sum_k tau_k f(theta_k),

see Golub and Meurant, Matrices, Moments and Quadrature, 2010. Where every other
derivative of f is negative, as those of the square root are, the sum is too large. With
one more node at 0 (Gauss-Radau, section 6.2 there) it is too small, so that the two
enclose the value. The largest Ritz value is a lower bound of the largest eigenvalue.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg

Product = Callable[[np.ndarray], np.ndarray]

_RESTARTS = 40
# A vector that keeps so much of its length is orthogonal to what was taken from it
# (Daniel, Gragg, Kaufman and Stewart, Math. Comput., 1976).
_LITTLE = 0.7


class Tridiagonal(NamedTuple):
    """The matrix T of a Lanczos process, and how it ended."""

    diagonal: np.ndarray  # (k,) float64
    off_diagonal: np.ndarray  # (k - 1,) float64
    remainder: float  # norm of what the next step would add; 0 if there is none
    basis: np.ndarray  # (k, n) float64, orthonormal rows

    def leading(self, k: int) -> "Tridiagonal":
        """Return the process as it was after k steps."""
        if k >= self.diagonal.size:
            return self
        remainder = float(self.off_diagonal[k - 1])
        return Tridiagonal(
            self.diagonal[:k], self.off_diagonal[: k - 1], remainder, self.basis[:k]
        )

    def with_zero(self) -> "Tridiagonal":
        """Return T with one more row and column, so that 0 is an eigenvalue.

        It is T itself once the Krylov space is exhausted or 0 is a Ritz value already,
        but for rounding. The basis stays as it is.
        """
        pivot = self.diagonal[0]  # of the factors L D L' of T
        for next_diagonal, beside in zip(
            self.diagonal[1:], self.off_diagonal, strict=True
        ):
            if pivot <= 0:
                break
            pivot = next_diagonal - beside**2 / pivot
        size = self.diagonal.size
        if self.remainder == 0 or pivot <= size * 2.0**-52 * self.diagonal.max():
            return self
        return self._replace(
            diagonal=np.append(self.diagonal, self.remainder**2 / pivot),
            off_diagonal=np.append(self.off_diagonal, self.remainder),
            remainder=0.0,
        )

    def converged(self, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the largest Ritz values that have converged, and their vectors.

        Parameters
        ----------
        tolerance : float
            Most of |A u - theta u| for a unit vector u, as a share of theta.

        Returns
        -------
        values : (m,) float64 array
            Descending; all that are larger than the first that has not converged.
        vectors : (m, n) float64 array
            Orthonormal rows.
        """
        values, vectors = self.ritz()
        residuals = self.remainder * np.abs(vectors[-1])
        is_open = (residuals > tolerance * values) | (values <= 0)
        first = int(np.flatnonzero(is_open).max(initial=-1)) + 1
        return values[first:][::-1], vectors[:, first:].T[::-1] @ self.basis

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the Ritz values, ascending (k,), and the eigenvectors of T (k, k)."""
        values, vectors = scipy.linalg.eigh_tridiagonal(
            self.diagonal, self.off_diagonal
        )
        return values, vectors


def tridiagonalise(
    product: Product,
    start: np.ndarray,
    n_steps: int,
    apart: np.ndarray | None = None,
) -> Tridiagonal:
    """Run Lanczos's method with full reorthogonalisation.

    Parameters
    ----------
    product : callable
        Returns A v for a vector v (n,), A symmetric and not negative definite.
    start : (n,) float64 array
        Not 0; its length does not matter.
    n_steps : int
        At most; fewer if the Krylov space is exhausted before.
    apart : (m, n) float64 array, optional
        Orthonormal rows, eigenvectors of A, that `start` is orthogonal to: so is all
        that follows.
    """
    n_steps = min(n_steps, start.size)
    basis = np.empty((n_steps, start.size))
    diagonal, off_diagonal = np.empty(n_steps), np.empty(n_steps)
    basis[0] = start / np.linalg.norm(start)
    for step in range(n_steps):
        vector = product(basis[step])
        diagonal[step] = basis[step] @ vector
        vector = vector - diagonal[step] * basis[step]
        if step:
            vector -= off_diagonal[step - 1] * basis[step - 1]
        norm = float(np.linalg.norm(vector))
        # Rounding leaves a part of the basis; twice is enough, and once if little goes.
        for _ in range(2):
            for known in (basis[: step + 1], apart):
                if known is not None:
                    vector -= (known @ vector) @ known
            before, norm = norm, float(np.linalg.norm(vector))
            if norm > _LITTLE * before:
                break
        off_diagonal[step] = norm
        scale = diagonal[: step + 1].max()
        is_exhausted = off_diagonal[step] <= 1e-12 * scale or step + 1 == start.size
        if is_exhausted or step + 1 == n_steps:
            remainder = 0.0 if is_exhausted else float(off_diagonal[step])
            return Tridiagonal(
                diagonal[: step + 1], off_diagonal[:step], remainder, basis[: step + 1]
            )
        basis[step + 1] = vector / off_diagonal[step]
    raise AssertionError("n_steps is at least 1")


def quadrature(process: Tridiagonal, function: Callable) -> float:
    """Return q' f(A) q for the unit start q of a process.

    Parameters
    ----------
    process : Tridiagonal
    function : callable
        Takes an array of Ritz values, of which rounding may make 0 negative.
    """
    values, vectors = process.ritz()
    return float(vectors[0] ** 2 @ function(values))


def largest_eigenvalue(
    product: Product, start: np.ndarray, n_steps: int, tolerance: float
) -> tuple[float, float]:
    """Return the largest eigenvalue of A and a bound of its error.

    The process starts again from the best Ritz vector until the bound is `tolerance`
    times the eigenvalue, 40 times at most. A power iteration is the same with two
    steps.

    Parameters
    ----------
    product, start, n_steps
        See `tridiagonalise`.
    tolerance : float

    Returns
    -------
    value, error : float
        Some eigenvalue is within `error` of `value`, which is never above the largest.
    """
    value = error = 0.0
    for _ in range(_RESTARTS):
        process = tridiagonalise(product, start, n_steps)
        values, vectors = process.ritz()
        value = float(values[-1])
        error = process.remainder * abs(float(vectors[-1, -1]))
        if error <= tolerance * value:
            break
        start = vectors[:, -1] @ process.basis
    return value, error
