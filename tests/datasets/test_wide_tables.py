"""Text tables of thousands of columns, and the blocks of rows that they are read in."""

import csv

import numpy as np
import pytest
from support.text_tables import read, tab

from truesparse.datasets.gather import rows_of_block


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_longer_than_a_cell_may_be_are_cut(tmp_path, engine, delimiter):
    limit = csv.field_size_limit()
    rows = np.arange(2 * 20_000).reshape(2, -1) + 0.125
    text = "\n".join(delimiter.join(map(str, row)) for row in rows.tolist()) + "\n"
    assert len(text) > 2 * limit  # each of two rows
    table = read(tmp_path, text)
    assert table.dialect.delimiter == delimiter
    np.testing.assert_array_equal(np.array(table.columns).T, rows)


def test_whole_numbers_beside_real_ones_are_exact(tmp_path, engine):
    large = [2**53 + 1, 2**62 + 1, 3]
    table = read(tmp_path, tab("a,y,b", [0.5, 1.5, 2.5], large, [1, 2, 3]))
    assert [column.dtype.kind for column in table.columns] == ["f", "i", "i"]
    assert table.columns[1].tolist() == large


@pytest.mark.parametrize(
    ("n_columns", "n_rows"), [(1, 2**20), (785, 1335), (20_000, 500)]
)
def test_blocks_of_wide_tables_have_rows_enough(n_columns, n_rows):
    assert rows_of_block(n_columns) == n_rows
