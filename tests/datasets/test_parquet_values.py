"""Values of .parquet columns that are no ordinary numbers."""

import numpy as np
import pytest

from truesparse.datasets import load
from truesparse.errors import DataError

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")


def test_infinite_values_of_a_column_that_may_have_gaps_are_refused(tmp_path):
    column = pd.array([1.0, float("inf")] * 10, dtype="Float64")
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": column, "y": [0, 1] * 10}).to_parquet(path)
    with pytest.raises(DataError, match="10 infinite values"):
        load(path)


@pytest.mark.parametrize("dtype", ["f8", "M8[ns]", "O"])
def test_a_table_without_rows_is_refused(tmp_path, dtype):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": np.array([], dtype), "y": np.zeros(0)}).to_parquet(path)
    with pytest.raises(DataError, match="holds no rows"):
        load(path)
