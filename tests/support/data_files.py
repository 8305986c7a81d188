"""Small samples to write into files, and how files are loaded as they are."""

import numpy as np
import pytest
from support.datasets_invariants import assert_sound

from truesparse.datasets import load

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 5)).round(3)
LABELS = np.arange(30) % 3


def raw(path, **options):
    """Load without scaling, all rows in the order of the file."""
    data = load(path, scale="none", dtype=np.float64, **options)
    assert_sound(data, np.float64)
    parts = [data.X_train, data.X_test]
    rows = np.concatenate([p.toarray() if data.is_sparse else p for p in parts])
    targets = np.concatenate([data.y_train, data.y_test])
    return data, rows, targets


def assert_same_rows(got, expected):
    """Rows are equal in any order, since a split reorders them."""
    np.testing.assert_allclose(
        np.array(sorted(got.tolist())), np.array(sorted(expected.tolist()))
    )


def table(folder, head, *columns, name="t.csv"):
    """Write columns as text, separated by commas."""
    rows = [",".join(map(str, cells)) for cells in zip(*columns, strict=True)]
    path = folder / name
    path.write_text("\n".join([head, *rows] if head else rows) + "\n")
    return path


def parquet(folder, **columns):
    """Write named columns as .parquet."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = folder / "t.parquet"
    pd.DataFrame(columns).to_parquet(path)
    return path


def sorted_rows(rows):
    """Return rows in ascending order, since a split reorders them."""
    return np.array(sorted(np.asarray(rows, float).tolist()))
