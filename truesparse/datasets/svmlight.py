"""The text format of SVMlight and LIBSVM: sparse features, one row a line."""

import contextlib
from pathlib import Path

import numpy as np
from scipy import sparse

from truesparse.datasets.model_columns import Expected
from truesparse.datasets.raw import RawData, first_line
from truesparse.datasets.table_options import TableOptions
from truesparse.datasets.text_files import BROKEN, is_compressed, open_bytes
from truesparse.errors import DataError

_LARGEST_EXACT = 2**53


def read_svmlight(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read SVMlight text with scikit-learn, as CSR.

    If NAME.t lies beside NAME (LIBSVM's way to name a test part), it becomes the test
    part, as does NAME.t.bz2 beside NAME.bz2. Rows with several labels, ``1,3 2:0.5``,
    make the task multilabel.

    Parameters
    ----------
    path : Path
        An existing text file.
    options : TableOptions
        None may be given.
    expected : Expected, optional
        Features that a model takes: labels may then be absent, and its training file
        decides whether features count from 0 or from 1. Without it, they count from 1
        unless there is a feature 0.

    Raises
    ------
    DataError
        If the file is empty or not in this format.
    UsageError
        If an option of tables is given.
    """
    options.accept_only((), "an SVMlight file")
    stem, ending = path.name, ""
    if is_compressed(path):
        stem, ending = path.stem, path.suffix
    test = path.with_name(f"{stem}.t{ending}")
    files = [path, test] if test.is_file() else [path]
    try:
        try:
            loaded = _load(files, multilabel=False)
        except ValueError:
            # Several labels, or none, do not parse as one number.
            loaded = _load(files, multilabel=True)
    except (*BROKEN, ValueError, OverflowError) as error:
        raise DataError(
            f"cannot read {path} as SVMlight text: {first_line(error)}; write each "
            "line as 'label index:value index:value ...' with rising indices"
        ) from error
    first = _renumber(loaded, expected, path)
    raw = _as_raw_data(loaded, expected, path)
    raw.first_index = first
    return raw


def _load(paths: list[Path], multilabel: bool) -> list:
    """Return features and labels of each file in turn."""
    from sklearn.datasets import load_svmlight_files

    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open_bytes(path)) for path in paths]
        return load_svmlight_files(files, multilabel=multilabel, zero_based=True)


def _as_raw_data(loaded: list, expected: Expected | None, path: Path) -> RawData:
    if isinstance(loaded[1], np.ndarray):
        if any(np.abs(y).max(initial=0) >= _LARGEST_EXACT for y in loaded[1::2]):
            raise DataError(
                f"{path} has labels of 2^53 or more, which are read as float64 and not "
                "exact; give smaller numbers"
            )
        return RawData(*loaded)
    labels = np.array(sorted({name for y in loaded[1::2] for row in y for name in row}))
    if len(labels) == 0:
        if expected is None:
            raise DataError(f"{path} has no labels; begin each line with a label")
        loaded[1::2] = [None] * len(loaded[1::2])
        return RawData(*loaded)
    counts = [len(row) for y in loaded[1::2] for row in y]
    if expected is None and max(counts) == 1:
        raise DataError(
            f"{path}: {counts.count(0)} rows have no label, the first is row "
            f"{counts.index(0) + 1}; label these rows or remove them"
        )
    for i in range(1, len(loaded), 2):
        loaded[i] = _label_columns(loaded[i], labels)
    whole = bool((labels == np.floor(labels)).all())
    raw = RawData(*loaded)
    raw.task = "multilabel"
    raw.classes = labels.astype(np.int64) if whole else labels
    return raw


def _renumber(loaded: list, expected: Expected | None, path: Path) -> int:
    """Make features count from 0, as many as expected; return the first's number."""
    matrices = loaded[::2]
    indices = [matrix.indices for matrix in matrices]
    has_rows = any(matrix.shape[0] for matrix in matrices)
    if expected is None and has_rows and not any(each.size for each in indices):
        raise DataError(
            f"{path} has labels and no features; write each line as 'label "
            "index:value index:value ...'"
        )
    first = int(all(each.size and each.min() > 0 for each in indices))
    lowest = min((int(each.min()) for each in indices if each.size), default=first)
    last = max(int(each.max(initial=0)) for each in indices)
    n_features = last + 1 - first
    if expected is not None:
        n_features = expected.n_features
        first = first if expected.first_index is None else expected.first_index
        if lowest < first or last - first >= n_features:
            raise DataError(
                f"{path} has features {lowest} to {last}, but the model takes {first} "
                f"to {n_features - 1 + first}; number them as in the training file"
            )
    for i, matrix in enumerate(matrices):
        matrix.indices -= first
        arrays = matrix.data, matrix.indices, matrix.indptr
        shape = matrix.shape[0], n_features
        loaded[2 * i] = sparse.csr_matrix(arrays, shape=shape)
    return first


def _label_columns(rows: list[tuple[float, ...]], labels: np.ndarray) -> np.ndarray:
    columns = np.zeros((len(rows), len(labels)), dtype=np.uint8)
    for row, names in zip(columns, rows, strict=True):
        row[np.searchsorted(labels, names)] = 1
    return columns
