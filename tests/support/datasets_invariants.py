"""What every data set promises, for all tests of truesparse.datasets."""

import numpy as np
from scipy import sparse

from truesparse.datasets import Dataset


def assert_sound(data: Dataset, dtype=np.float32) -> None:
    """Fail unless shapes, types and ranges are those of the Dataset docstring."""
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert X.shape == (len(y), data.n_features)
        assert X.dtype == dtype
        if sparse.issparse(X):
            assert isinstance(X, sparse.csr_array)
            assert X.indices.dtype == np.int32
            X.check_format(full_check=True)
            assert X.has_canonical_format
            assert np.isfinite(X.data).all()
        else:
            assert X.flags.c_contiguous
            assert np.isfinite(X).all()
        if data.task == "classification":
            assert y.dtype == np.int32
            assert y.ndim == 1
            assert y.min() >= 0
            assert y.max() < data.n_outputs == len(data.classes)
        else:
            assert y.dtype == dtype
            assert y.shape == (len(y), data.n_outputs)
            assert y.flags.c_contiguous
        if data.task == "multilabel":
            assert np.isin(y, (0, 1)).all()
