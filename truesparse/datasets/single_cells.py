"""Counts of single cells: .h5ad of anndata, Matrix Market files, folders of 10x.

    .h5ad      X, cells by genes; a column of obs is the target; var names the genes
    .mtx       features only, rows by columns
    a folder   matrix.mtx, genes by cells; barcodes.tsv; features.tsv or genes.tsv; the
               target in labels.tsv or labels.csv, if it has one

The texts may be compressed. Sparse counts become CSR and stay sparse.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from truesparse.datasets.columns import find_stated, named_targets
from truesparse.datasets.hdf5 import (
    compressed_matrix,
    member,
    open_hdf5,
    read_whole,
)
from truesparse.datasets.matrix_market import read_matrix_market
from truesparse.datasets.model_columns import Expected, require_names
from truesparse.datasets.raw import RawData, first_line
from truesparse.datasets.table_options import TableOptions, say
from truesparse.datasets.text_files import (
    BROKEN,
    COMPRESSED,
    encoding_of,
    open_text,
)
from truesparse.datasets.typed_columns import column_of, is_missing
from truesparse.errors import DataError

_SHOWN = 10  # names in a message


def read_h5ad(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read an .h5ad file, with a column of its obs as the target.

    Parameters
    ----------
    path : Path
        An existing file.
    options : TableOptions
        Only the target may be given. Without it, it is the column of obs that is named
        y, target, label or class.
    expected : Expected, optional
        Features that a model takes: the target may then be absent, and genes are found
        by their names.

    Raises
    ------
    DataError
        If the file is damaged or older than anndata 0.7, the target is not clear, or
        cells lack it.
    UsageError
        If h5py is not installed, or an option does not suit.
    """
    options.accept_only(("target",), "an .h5ad file")
    with open_hdf5(path, "an .h5ad file") as file:
        for part in ("X", "obs", "var"):
            lacks = part not in file
            if lacks or (part != "X" and hasattr(member(file, part), "dtype")):
                raise DataError(
                    f"{path} lacks {part}, or has it in the layout of anndata before "
                    "0.7; write it again with a newer anndata"
                )
        X, obs, var = (member(file, part) for part in ("X", "obs", "var"))
        X = _stored_matrix(X)
        genes = _column(var, _index_of(var)).tolist()
        columns = [str(name) for name in obs.attrs["column-order"]]
        target = _choose_column(columns, path, options, expected)
        y = None if target is None else _column(obs, target)
    if y is not None and (n_missing := int(is_missing(y).sum())):
        if expected is None:
            raise DataError(
                f"{path}: {n_missing} cells have no {target!r}; leave them out of the "
                "file, or choose another target with target (--target)"
            )
        y = None
    raw = _with_genes(X, genes, path, expected)
    if y is not None:
        raw.y_train = y.astype(str) if y.dtype == object else y
        raw.target_name = target
        reason = "by its name" if options.target is None else "as you say"
        raw.target_choice = f"obs column {target!r}, {reason}"
    return raw


def read_mtx(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read a Matrix Market file: features only, or all of a folder of 10x.

    Parameters
    ----------
    path : Path
        An existing file. If it lies in a folder of 10x, the folder is read.
    options : TableOptions
        None may be given.
    expected : Expected, optional
        Features that a model takes. Without it, the file is refused, since it holds no
        target.

    Raises
    ------
    DataError
        If the file is damaged or lacks a target.
    UsageError
        If an option of tables is given.
    """
    if find_matrix(path.parent) == path:
        return read_cells(path.parent, options, expected)
    options.accept_only((), "a Matrix Market file")
    if expected is None:
        raise DataError(
            f"{path} holds features without a target; store both with "
            "truesparse.datasets.save_npz(file, scipy.io.mmread(...), y)"
        )
    return RawData(read_matrix_market(path), None)


def read_cells(
    folder: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read a folder as the tools of 10x Genomics write it.

    Parameters
    ----------
    folder : Path
        An existing folder with a matrix, genes by cells.
    options : TableOptions
        None may be given.
    expected : Expected, optional
        Features that a model takes: labels may then be absent, and genes are found by
        their names.

    Raises
    ------
    DataError
        If files are damaged, lacking, or do not belong together.
    UsageError
        If an option of tables is given.
    """
    options.accept_only((), "a folder of counts")
    matrix = find_matrix(folder)
    assert matrix is not None
    X = read_matrix_market(matrix)
    cells = _read_lines(folder, ("barcodes.tsv",))
    genes = _read_lines(folder, ("features.tsv", "genes.tsv"))
    if X.shape != (len(genes), len(cells)):
        raise DataError(
            f"{matrix} has shape {X.shape}, but there are {len(genes)} genes and "
            f"{len(cells)} cells; rows must be the genes and columns the cells"
        )
    X = sparse.csr_array(X.T) if sparse.issparse(X) else np.ascontiguousarray(X.T)
    raw = _with_genes(X, [gene[0] for gene in genes], folder, expected)
    labels_path = _find(folder, ("labels.tsv", "labels.csv"))
    if labels_path is not None:
        raw.y_train = _labels(labels_path, [cell[0] for cell in cells])
        raw.target_choice = labels_path.name
    elif expected is None:
        raise DataError(
            f"{folder} has no labels; put labels.tsv into it, with the label of a cell "
            "in each line, in the order of the barcodes, or after its barcode and a tab"
        )
    return raw


def find_matrix(folder: Path) -> Path | None:
    """Return the matrix of a folder of 10x, or None if it is no such folder."""
    matrix = _find(folder, ("matrix.mtx",))
    return matrix if _find(folder, ("barcodes.tsv",)) else None


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first file of these names, compressed or not."""
    paths = (folder / (name + end) for name in names for end in ("", *COMPRESSED))
    return next((path for path in paths if path.is_file()), None)


def _read_lines(folder: Path, names: tuple[str, ...]) -> list[list[str]]:
    """Return the cells of each line of the first file of these names."""
    path = _find(folder, names)
    if path is None:
        raise DataError(f"{folder} lacks {' or '.join(names)}; add it")
    delimiter = "," if ".csv" in path.name else "\t"
    try:
        with open_text(path, encoding_of(path)) as file:
            lines = [line.strip() for line in file]
    except BROKEN as error:
        raise DataError(f"cannot read {path}: {first_line(error)}") from error
    return [[cell.strip('" ') for cell in line.split(delimiter)] for line in lines]


def _labels(path: Path, cells: list[str]) -> np.ndarray:
    """Return the label of each cell, by its barcode or by its place."""
    lines = _read_lines(path.parent, (path.name,))
    widths = {len(line) for line in lines}
    if widths == {2}:
        by_cell = dict(lines)
        lacking = [cell for cell in cells if cell not in by_cell]
        if lacking or len(by_cell) != len(lines):
            what = f"lacks {lacking[0]!r}" if lacking else "names a barcode twice"
            raise DataError(f"{path} {what}; give one line for each barcode")
        labels = [by_cell[cell] for cell in cells]
    elif widths == {1} and len(lines) == len(cells):
        labels = [line[0] for line in lines]
    else:
        raise DataError(
            f"{path} has {len(lines)} lines, and there are {len(cells)} cells; give "
            "one label a line without header, or a barcode, a tab and its label"
        )
    column = column_of(list(labels))
    if is_missing(column).any():
        line = int(is_missing(column).argmax())
        raise DataError(f"{path}: the cell {cells[line]!r} has no label; give it one")
    return column.astype(str) if column.dtype == object else column


def _with_genes(
    X: Any, genes: list[Any], path: Path, expected: Expected | None
) -> RawData:
    """Return features with their names, or those that a model takes."""
    if X.ndim != 2 or X.shape[1] != len(genes):
        raise DataError(
            f"{path}: X has shape {X.shape}, but {len(genes)} genes are named; give a "
            "column for each gene"
        )
    names = tuple(map(str, genes))
    counts = Counter(names)
    wanted = None if expected is None else expected.column_names
    if wanted is None:
        # Names that do not tell the genes apart are none.
        return RawData(
            X, None, feature_names=names if len(counts) == len(names) else None
        )
    require_names(wanted, counts, str(path), "genes")
    place = {name: i for i, name in enumerate(names)}
    return RawData(X[:, [place[name] for name in wanted]], None)


def _stored_matrix(stored: Any) -> Any:
    """Return a matrix of .h5ad, dense or as CSR."""
    if hasattr(stored, "dtype"):
        return read_whole(stored)
    kind = stored.attrs.get("encoding-type", "")
    if kind not in ("csr_matrix", "csc_matrix"):
        raise DataError(f"X is stored as {kind!r}; store an array, CSR or CSC")
    n_rows, n_columns = (int(size) for size in stored.attrs["shape"])
    shape = n_rows, n_columns
    return compressed_matrix(stored, "indices", shape, kind == "csr_matrix")


def _index_of(frame: Any) -> str:
    return frame.attrs.get("_index", "_index")


def _choose_column(
    names: list[str], path: Path, options: TableOptions, expected: Expected | None
) -> str | None:
    """Return which column of obs is the target."""
    if expected is not None and options.target is None:
        return expected.target_name if expected.target_name in names else None
    if options.target is not None and names:
        _, place = find_stated(names, len(names), path, options)
        assert place is not None
        return names[place]
    named = named_targets(names, range(len(names)))
    if len(named) == 1:
        return names[named[0]]
    shown = ", ".join(map(repr, names[:_SHOWN])) + ", ..." * (len(names) > _SHOWN)
    if not names:
        raise DataError(f"{path}: obs has no column that could be the target; add one")
    raise DataError(
        f"{path}: the target may be any column of obs ({shown}); say which, as in "
        f"{say('target', names[-1])}"
    )


def _column(frame: Any, name: str) -> np.ndarray:
    """Return a column of obs or var: numbers, or text with None for missing values."""
    stored = member(frame, name)
    categories = f"__categories/{name}"
    if categories in frame:  # anndata 0.7
        return _categories(read_whole(stored), _values(member(frame, categories)))
    if hasattr(stored, "dtype"):
        return _values(stored)
    if "codes" in stored:
        codes = read_whole(member(stored, "codes"))
        return _categories(codes, _values(member(stored, "categories")))
    values = _values(member(stored, "values"))
    gaps = read_whole(member(stored, "mask")).astype(bool)
    if not gaps.any():
        return values
    with_gaps = values.astype(object if values.dtype == object else np.float64)
    with_gaps[gaps] = None if values.dtype == object else np.nan
    return with_gaps


def _categories(codes: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Return the category of each code; code -1 is missing."""
    if (codes >= 0).all():
        return categories[codes]
    values = np.array([*categories, None], object)[codes]
    if categories.dtype == object:
        return values
    return values.astype(np.float64)  # None becomes NaN


def _values(stored: Any) -> np.ndarray:
    if stored.dtype.kind in "OS":
        return np.array(read_whole(stored, as_text=True).tolist(), object)
    return read_whole(stored)
