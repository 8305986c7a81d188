"""The text format of SVMlight and LIBSVM: sparse features, one row a line."""

from pathlib import Path

import numpy as np

from ..errors import DataError
from .parts import Parts, reason


def read_svmlight(path: Path) -> Parts:
    """Read a .svm, .libsvm or .svmlight file with scikit-learn, as CSR.

    If NAME.t lies beside NAME (LIBSVM's way to name a test part), it becomes the test
    part. Rows with several labels, ``1,3 2:0.5``, make the task multilabel.

    Parameters
    ----------
    path : Path
        Of an existing text file.

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
            loaded = load_svmlight_files(files)
        except ValueError:
            # Several labels, or none, do not parse as one number.
            loaded = load_svmlight_files(files, multilabel=True)
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"cannot read {path} as SVMlight text: {reason(error)}; each line is "
            "'label index:value index:value ...' with rising indices"
        ) from error
    if isinstance(loaded[1], np.ndarray):
        return Parts(*loaded)
    labels = np.array(sorted({name for y in loaded[1::2] for row in y for name in row}))
    if len(labels) == 0:
        raise DataError(f"{path} has no labels; begin each line with one")
    for i in range(1, len(loaded), 2):
        loaded[i] = _label_columns(loaded[i], labels)
    whole = bool((labels == np.floor(labels)).all())
    parts = Parts(*loaded)
    parts.task = "multilabel"
    parts.classes = labels.astype(np.int64) if whole else labels
    return parts


def _label_columns(rows: list[tuple[float, ...]], labels: np.ndarray) -> np.ndarray:
    columns = np.zeros((len(rows), len(labels)), dtype=np.uint8)
    for row, names in zip(columns, rows, strict=True):
        row[np.searchsorted(labels, names)] = 1
    return columns
