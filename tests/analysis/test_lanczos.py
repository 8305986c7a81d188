"""Lanczos's method against dense linear algebra."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.strategies import SEEDS

from truesparse.analysis.lanczos import (
    largest_eigenvalue,
    quadrature,
    tridiagonalise,
)

SIZES = st.integers(1, 20)


def gram(n, seed, rank=None):
    draw = np.random.default_rng(seed)
    factor = draw.standard_normal((n, n if rank is None else rank))
    return factor @ factor.T, draw


@given(n=SIZES, seed=SEEDS, n_steps=st.integers(1, 25))
def test_the_basis_is_orthonormal_and_makes_the_matrix_tridiagonal(n, seed, n_steps):
    matrix, draw = gram(n, seed)
    process = tridiagonalise(lambda v: matrix @ v, draw.standard_normal(n), n_steps)
    basis = process.basis
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-8)
    wanted = np.diag(process.diagonal)
    wanted += np.diag(process.off_diagonal, 1) + np.diag(process.off_diagonal, -1)
    scale = np.abs(matrix).max()
    np.testing.assert_allclose(basis @ matrix @ basis.T, wanted, atol=1e-8 * scale)
    assert len(basis) <= min(n, n_steps)


@given(n=SIZES, seed=SEEDS)
def test_all_steps_give_the_exact_trace_of_a_function(n, seed):
    matrix, draw = gram(n, seed)
    start = draw.standard_normal(n)
    process = tridiagonalise(lambda v: matrix @ v, start, n)
    values, vectors = np.linalg.eigh(matrix)
    shares = (vectors.T @ start) ** 2 / (start @ start)
    got = quadrature(process, np.cbrt)
    assert got == pytest.approx(shares @ np.cbrt(values), rel=1e-6, abs=1e-6)


@given(n=st.integers(4, 20), seed=SEEDS)
def test_k_steps_are_exact_for_polynomials_of_degree_2k_minus_1(n, seed):
    matrix, draw = gram(n, seed)
    start = draw.standard_normal(n)
    unit = start / np.linalg.norm(start)
    process = tridiagonalise(lambda v: matrix @ v, start, n).leading(2)
    wanted = unit @ np.linalg.matrix_power(matrix, 3) @ unit
    assert quadrature(process, lambda x: x**3) == pytest.approx(wanted, rel=1e-9)
    again = tridiagonalise(lambda v: matrix @ v, start, 2)
    np.testing.assert_allclose(process.diagonal, again.diagonal)
    assert process.remainder == pytest.approx(again.remainder)


@given(n=SIZES, seed=SEEDS, n_steps=st.integers(1, 8), rank=st.integers(1, 20))
def test_both_rules_enclose_the_trace_of_the_square_root(n, seed, n_steps, rank):
    matrix, draw = gram(n, seed, rank)
    start = draw.standard_normal(n)
    process = tridiagonalise(lambda v: matrix @ v, start, n_steps)
    values, vectors = np.linalg.eigh(matrix)
    shares = (vectors.T @ start) ** 2 / (start @ start)

    def root(values):
        return np.sqrt(np.maximum(values, 0))

    wanted = shares @ root(values)
    rounding = 1e-6 * root(values).max()
    assert quadrature(process, root) >= wanted - rounding
    assert quadrature(process.with_zero(), root) <= wanted + rounding
    if process.remainder > 0:
        assert abs(process.with_zero().ritz()[0][0]) <= 1e-9 * values.max()


@given(n=st.integers(6, 20), seed=SEEDS)
def test_what_is_apart_stays_apart(n, seed):
    matrix, draw = gram(n, seed)
    values, vectors = np.linalg.eigh(matrix)
    apart, start = vectors[:, -3:].T, draw.standard_normal(n)
    start -= (apart @ start) @ apart
    process = tridiagonalise(lambda v: matrix @ v, start, n, apart)
    np.testing.assert_allclose(process.basis @ apart.T, 0, atol=1e-10)
    ritz = process.ritz()[0]
    assert ritz.size == n - 3
    np.testing.assert_allclose(ritz, values[:-3], atol=1e-8 * values[-1])


def test_converged_values_are_the_largest_and_have_small_residuals():
    sizes = np.concatenate([[1e4, 1e3, 1e2], np.linspace(0, 1, 97)])
    process = tridiagonalise(lambda v: sizes * v, np.ones(100), 12)
    values, vectors = process.converged(1e-6)
    assert values.size >= 3
    np.testing.assert_allclose(values[:3], sizes[:3])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(values.size), atol=1e-12)
    residuals = np.linalg.norm(vectors * sizes - values[:, None] * vectors, axis=1)
    assert (residuals <= 1.01e-6 * values).all()
    assert values.size < 12


@given(n=SIZES, seed=SEEDS, rank=st.integers(1, 20))
def test_the_largest_eigenvalue_is_within_its_error(n, seed, rank):
    matrix, draw = gram(n, seed, rank)
    wanted = np.linalg.eigvalsh(matrix)[-1]
    assume(wanted > 1e-6)
    start = draw.standard_normal(n)
    value, error = largest_eigenvalue(lambda v: matrix @ v, start, 4, 1e-6)
    assert value == pytest.approx(wanted, rel=1e-3)
    assert value <= wanted * (1 + 1e-10)
    assert error <= 1e-6 * value


def test_an_exhausted_space_ends_early():
    process = tridiagonalise(lambda v: 3.0 * v, np.ones(10), 8)
    assert process.diagonal.tolist() == pytest.approx([3.0])
    assert process.remainder == 0.0
