"""The text format of SVMlight and LIBSVM: sparse features, one row a line."""

from pathlib import Path

import numpy as np
from scipy import sparse

from truesparse.datasets.build import Parts, reason
from truesparse.datasets.columns import Expected
from truesparse.errors import DataError


def read_svmlight(path: Path, expected: Expected | None = None) -> Parts:
    """Read a .svm, .libsvm or .svmlight file with scikit-learn, as CSR.

    If NAME.t lies beside NAME (LIBSVM's way to name a test part), it becomes the test
    part. Rows with several labels, ``1,3 2:0.5``, make the task multilabel.

    Parameters
    ----------
    path : Path
        Of an existing text file.
    expected : Expected, optional
        What a model takes: labels may then be absent, and its training file decides
        whether features count from 0 or from 1. Without it, they count from 1 unless
        there is a feature 0.

    Raises
    ------
    DataError
        If the file is empty or not in that format.
    """
    from sklearn.datasets import load_svmlight_files

    test = path.with_name(path.name + ".t")
    files = [str(path), str(test)] if test.is_file() else [str(path)]
    try:
        try:
            loaded = load_svmlight_files(files, zero_based=True)
        except ValueError:
            # Several labels, or none, do not parse as one number.
            loaded = load_svmlight_files(files, multilabel=True, zero_based=True)
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"cannot read {path} as SVMlight text: {reason(error)}; each line is "
            "'label index:value index:value ...' with rising indices"
        ) from error
    first = _renumber(loaded, expected, path)
    parts = _as_parts(loaded, expected, path)
    parts.first_index = first
    return parts


def _as_parts(loaded: list, expected: Expected | None, path: Path) -> Parts:
    if isinstance(loaded[1], np.ndarray):
        return Parts(*loaded)
    labels = np.array(sorted({name for y in loaded[1::2] for row in y for name in row}))
    if len(labels) == 0:
        if expected is None:
            raise DataError(f"{path} has no labels; begin each line with one")
        loaded[1::2] = [None] * len(loaded[1::2])
        return Parts(*loaded)
    for i in range(1, len(loaded), 2):
        loaded[i] = _label_columns(loaded[i], labels)
    whole = bool((labels == np.floor(labels)).all())
    parts = Parts(*loaded)
    parts.task = "multilabel"
    parts.classes = labels.astype(np.int64) if whole else labels
    return parts


def _renumber(loaded: list, expected: Expected | None, path: Path) -> int:
    """Let features count from 0 and be as many as expected; return the first number."""
    matrices = loaded[::2]
    indices = [matrix.indices for matrix in matrices]
    first = int(all(part.size and part.min() > 0 for part in indices))
    lowest = min((int(part.min()) for part in indices if part.size), default=first)
    last = max(int(part.max(initial=0)) for part in indices)
    n_features = last + 1 - first
    if expected is not None:
        n_features = expected.n_features
        first = first if expected.first_index is None else expected.first_index
        if lowest < first or last - first >= n_features:
            raise DataError(
                f"{path} has features {lowest} to {last}; the model takes "
                f"{first} to {n_features - 1 + first}"
            )
    for i, matrix in enumerate(matrices):
        matrix.indices -= first
        parts = matrix.data, matrix.indices, matrix.indptr
        shape = matrix.shape[0], n_features
        loaded[2 * i] = sparse.csr_matrix(parts, shape=shape)
    return first


def _label_columns(rows: list[tuple[float, ...]], labels: np.ndarray) -> np.ndarray:
    columns = np.zeros((len(rows), len(labels)), dtype=np.uint8)
    for row, names in zip(columns, rows, strict=True):
        row[np.searchsorted(labels, names)] = 1
    return columns
