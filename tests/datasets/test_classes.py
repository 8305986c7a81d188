"""Labels become class numbers, and unseen ones are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from truesparse.datasets import encode_labels
from truesparse.errors import DataError


@given(hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(-3, 3)))
def test_encoding_is_undone_by_classes(labels):
    codes, classes = encode_labels(labels)
    assert codes.dtype == np.int32
    np.testing.assert_array_equal(classes[codes], labels)
    np.testing.assert_array_equal(encode_labels(labels, classes)[0], codes)


@pytest.mark.parametrize(
    ("labels", "named"),
    [(["a", "c", "c"], "in 2 rows: 'c'"), ([1, 2, 3], "in 3 rows: 1, 2, 3")],
)
def test_unseen_labels_are_named(labels, named):
    with pytest.raises(DataError, match=f"y_test has labels .* {named}"):
        encode_labels(np.array(labels), np.array(["a", "b"]), "y_test")
