"""The storage of a layer: invariants, exchange with SciPy, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from support.strategies import DTYPES, cases, make_connections, to_dense

from truesparse.errors import UsageError
from truesparse.kernels.arrays import Moments
from truesparse.sparse.connections import Connections, check_sides

MASK = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], bool)


def sound():
    """Return sound connections with state and a column view."""
    connections = make_connections(MASK)
    connections.allocate_moments(True, True)
    assert connections.view.rows.size == 5
    connections.check()
    return connections


def replaced(array, position, value):
    array = array.copy()
    array[position] = value
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("indptr", lambda a: a[:-1], "indptr must have n_in \\+ 1 = 4 entries"),
        ("indptr", lambda a: replaced(a, 0, 1), "indptr must rise from 0 to nnz = 5"),
        ("indptr", lambda a: replaced(a, 3, 4), "indptr must rise from 0 to nnz = 5"),
        ("indptr", lambda a: replaced(a, 1, 4), "indptr must rise from 0 to nnz = 5"),
        ("indices", lambda a: a[:-1], "indices must be as long as values"),
        ("values", lambda a: a[:-1], "indices must be as long as values"),
        ("indices", lambda a: replaced(a, 4, 4), "from 0 to n_out - 1 = 3"),
        ("indices", lambda a: replaced(a, 0, -1), "from 0 to n_out - 1 = 3"),
        ("indices", lambda a: replaced(a, 1, 0), "ascend strictly"),
        ("indices", lambda a: replaced(a, 1, 3), "do not at position 2"),
    ],
)
def test_check_finds_a_broken_index(name, change, message):
    connections = sound()
    setattr(connections, name, change(getattr(connections, name)))
    with pytest.raises(UsageError, match=message):
        connections.check()


@pytest.mark.parametrize("name", ["first", "second"])
def test_check_finds_state_of_the_wrong_length(name):
    connections = sound()
    connections.moments = connections.moments._replace(**{name: np.zeros(4)})
    with pytest.raises(UsageError, match=f"moment {name} must have 0 or 5"):
        connections.check()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("permutation", lambda a: replaced(a, 0, a[1])),
        ("permutation", lambda a: a[::-1].copy()),
        ("rows", lambda a: replaced(a, 0, 1)),
        ("indptr", lambda a: replaced(a, 1, 2)),
        ("indptr", lambda a: replaced(a, 1, 9)),
        ("indptr", lambda a: a[:-1]),
    ],
)
def test_check_finds_a_view_of_another_pattern(name, change):
    connections = sound()
    view = connections.view
    connections._view = view._replace(**{name: change(getattr(view, name))})
    with pytest.raises(UsageError, match="column view does not match"):
        connections.check()


@given(cases())
def test_every_pattern_of_the_strategies_is_sound(case):
    case.connections.allocate_moments(True, False)
    case.connections.check()
    assert case.connections.nnz == case.mask.sum()
    assert case.connections.density == case.mask.mean()
    assert case.connections.longest_row == case.mask.sum(1).max()
    sizes = [a.nbytes for a in (*case.connections.csr, *case.connections.moments)]
    assert case.connections.nbytes == sum(sizes)
    assert case.connections.view.rows.size == case.connections.nnz
    assert case.connections.nbytes == sum(sizes) + sum(
        a.nbytes for a in case.connections.view
    )


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_state_is_allocated_as_needed(first, second):
    connections = sound()
    connections.moments = Moments(np.ones(5), np.ones(5))
    connections.allocate_moments(bool(first), bool(second))
    assert [m.size for m in connections.moments] == [5 * first, 5 * second]
    assert not any(m.any() for m in connections.moments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix])
def test_scipy_arrays_are_shared_both_ways(kind, dtype):
    @given(cases(dtype))
    def compare(case):
        matrix = kind(case.dense)
        connections = Connections.from_scipy(matrix)
        np.testing.assert_array_equal(to_dense(connections), case.dense)
        assert connections.values.dtype == dtype
        back = connections.to_scipy()
        assert back.shape == case.mask.shape
        np.testing.assert_array_equal(back.toarray(), case.dense)
        if connections.nnz:
            for ours, theirs in (
                (connections.values, "data"),
                (connections.indices, "indices"),
            ):
                assert np.shares_memory(ours, getattr(matrix, theirs))
                assert np.shares_memory(ours, getattr(back, theirs))

    compare()


def test_training_is_seen_by_the_shared_matrix():
    matrix = sparse.csr_array(np.eye(3))
    connections = Connections.from_scipy(matrix)
    connections.values *= 2
    np.testing.assert_array_equal(matrix.toarray(), 2 * np.eye(3))


@pytest.mark.parametrize("form", ["coo", "csc", "lil", "dok", "bsr", "dia"])
def test_other_forms_are_converted(form):
    dense = np.where(MASK, 2.5, 0.0)
    connections = Connections.from_scipy(sparse.csr_array(dense).asformat(form))
    np.testing.assert_array_equal(to_dense(connections), dense)


def test_unsorted_and_repeated_entries_are_put_in_order_on_a_copy():
    indptr, indices = np.array([0, 3, 4]), np.array([2, 0, 2, 1])
    matrix = sparse.csr_array((np.array([1.0, 2.0, 4.0, 8.0]), indices, indptr))
    connections = Connections.from_scipy(matrix)
    np.testing.assert_array_equal(to_dense(connections), [[2, 0, 5], [0, 8, 0]])
    np.testing.assert_array_equal(matrix.indices, [2, 0, 2, 1])
    assert matrix.nnz == 4


def test_arrays_of_the_right_type_are_kept():
    indptr, indices = np.array([0, 1, 2]), np.array([2, 0], np.int32)
    values = np.ones(2, np.float32)
    connections = Connections(2, 3, indptr, indices, values)
    assert connections.values is values
    assert connections.indices is indices
    assert connections.indptr is indptr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_in": 0}, "n_in must be a whole number from 1"),
        ({"n_out": 2**31}, "n_out must be a whole number from 1"),
        ({"n_out": 3.0}, "n_out must be a whole number"),
        ({"n_in": True}, "n_in must be a whole number"),
        ({"n_in": 3}, "n_in \\+ 1 = 4 entries"),
        ({"indptr": [0.0, 1.0, 2.0]}, "indptr must be a 1-D array of integers"),
        ({"indptr": [[0, 1, 2]]}, "indptr must be a 1-D array of integers"),
        ({"indices": [[2, 0]]}, "indices must be a 1-D array of integers"),
        ({"indices": [2, 2**32]}, "indices holds 4294967296"),
        ({"indices": [2, -(2**32)]}, "indices holds -4294967296"),
        ({"indices": [2, -1]}, "indices holds -1"),
        ({"indices": [2, 3]}, "from 0 to n_out - 1 = 2"),
        ({"indptr": np.array([0, 2**63, 2], np.uint64)}, "indptr holds 92233"),
        ({"values": np.ones(2, np.float16)}, "array of float32 or float64"),
        ({"values": np.ones(2, int)}, "array of float32 or float64"),
        ({"values": np.ones((1, 2))}, "1-D array of float32"),
        ({"values": np.ones(3)}, "indices must be as long as values"),
    ],
)
def test_bad_input(change, message):
    good = {
        "n_in": 2,
        "n_out": 3,
        "indptr": [0, 1, 2],
        "indices": [2, 0],
        "values": np.ones(2),
    }
    Connections(**good)
    with pytest.raises(UsageError, match=message):
        Connections(**(good | change))


def test_values_that_cannot_be_trained_are_refused():
    values = np.ones(2)
    values.flags.writeable = False
    with pytest.raises(UsageError, match="must be writeable"):
        Connections(2, 3, [0, 1, 2], [2, 0], values)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (np.eye(2), "expected a scipy.sparse matrix"),
        ([[1]], "expected a scipy.sparse matrix"),
        (sparse.coo_array([1.0, 2.0]), "expected a matrix, got an array of shape"),
        (sparse.csr_array(np.eye(2, dtype=int)), "array of float32 or float64"),
        (sparse.csr_array((0, 3)), "n_in must be a whole number from 1"),
    ],
)
def test_bad_scipy_input(given_, message):
    with pytest.raises(UsageError, match=message):
        Connections.from_scipy(given_)


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_sides_up_to_31_bits(n_in, n_out):
    check_sides(n_in, np.int64(n_out))


DROPPED = np.zeros(6, bool)


@pytest.mark.parametrize(
    ("dropped", "keys", "values", "message"),
    [
        (DROPPED[:-1], [0], [1.0], "dropped must be 6 bools, got bool of shape \\(5,"),
        (DROPPED.astype(int), [0], [1.0], "dropped must be 6 bools, got int64"),
        (DROPPED, [0.0], [1.0], "keys must be int64 and as many as new_values"),
        (DROPPED, [0, 1], [1.0], "got int64 of shape \\(2,\\) and \\(1,\\)"),
        (DROPPED, [-1, 0], [1.0, 1.0], "ascend strictly from 0 to below 15"),
        (DROPPED, [0, 15], [1.0, 1.0], "ascend strictly from 0 to below 15"),
        (DROPPED, [4, 4], [1.0, 1.0], "ascend strictly from 0 to below 15"),
        (DROPPED, [4, 2], [1.0, 1.0], "ascend strictly from 0 to below 15"),
        (DROPPED, [0, 1], [1.0, np.nan], "new_values hold NaN"),
        (DROPPED, [0], 1.0, "got int64 of shape \\(1,\\) and \\(\\)"),
        (DROPPED, [0, 3], [1.0, 1.0], "a cell that is connected already"),
        (DROPPED, [0, 14], [1.0, 1.0], "a cell that is connected already"),
    ],
)
def test_a_change_that_does_not_fit(dropped, keys, values, message):
    mask = np.zeros((3, 5), bool)
    mask[:, 3:] = True
    connections = make_connections(mask)
    connections.allocate_moments(True, True)
    before = [*connections.csr, *connections.moments, *connections.view]
    copies, version = [array.copy() for array in before], connections.version
    with pytest.raises(UsageError, match=message):
        connections.rewire(dropped, np.array(keys), np.array(values))
    for now, old, copy in zip(
        [*connections.csr, *connections.moments, *connections.view],
        before,
        copies,
        strict=True,
    ):
        assert now is old
        np.testing.assert_array_equal(now, copy)
    assert connections.version == version


def test_a_new_weight_that_the_layer_cannot_hold():
    connections = make_connections(np.eye(2, 3) > 0, np.float32)
    with pytest.raises(UsageError, match="new_values hold NaN or infinity"):
        connections.rewire(np.zeros(2, bool), np.array([1]), np.array([1e300]))


def test_only_a_layer_of_the_same_shape_can_be_adopted():
    connections, other = (
        make_connections(np.ones(shape, bool)) for shape in ((2, 3), (3, 2))
    )
    with pytest.raises(UsageError, match="3 x 2 cannot replace one of 2 x 3"):
        connections.adopt(other)
    with pytest.raises(UsageError, match="float32 cannot replace one of float64"):
        connections.adopt(make_connections(np.ones((2, 3), bool), np.float32))
    same = make_connections(np.eye(2, 3) > 0)
    version = connections.version
    connections.adopt(same)
    assert connections.values is same.values
    assert connections.version > version
    connections.check()
