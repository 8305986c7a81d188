"""Data sets by name or file, split, scaled and encoded for training.

    load("digits")                      bundled with scikit-learn: BUNDLED
    load("synthetic:2000x500")          generated: make_madelon
    load("mnist", fetch=True)           from OpenML, then from data_home: SOURCES
    load("words")                       words.npz in data_home
    load("words.svm")                   a file: READERS
    load("houses.csv", target="price", drop=["street"], missing="mean")
    load_rows("new.csv", n_features=9)  rows for a trained model, targets or not

Sources, each read into RawData
    bundled        sets that come with scikit-learn
    madelon        generated classifications
    openml         sets from OpenML, downloaded and cached
    files          files, by their ending; npz is the format of data_home
    content        text files by what they hold
    npz, npy, matlab, mat5         arrays
    named_arrays   which of them are the features and the targets
    csv_table, parquet_table, arff
    svmlight, single_cells, matrix_market
    text_files, hdf5               opening of files
    dialect        delimiter, decimal sign, header and row names of a text table
    text_tables    the columns of a text table
    typed_columns  numbers, truth values, text
    notations      text that stands for dates or quantities
    gather         blocks of rows as columns
    table_options  what a caller states about a table
    columns        which columns are features, and which one is the target
    model_columns  which columns a trained model takes
    tables         from the columns of a table to RawData
    raw            RawData, the arrays of a source
    room           refusal of sources that do not fit in memory
From RawData to a Dataset
    prepare        the sequence: check, split, scale, encode
    features       checks of features
    targets        checks of targets
    split          training and test rows
    feature_columns, encoding      columns of text and missing values as features
    encoded_rows   features that are made of encoded columns when they are read
    shrinking      arrays that are cut short as they are read
    scaling        scaling of features
    classes        labels to class numbers, and back
    dataset        Dataset, and the Preprocessing that a model file keeps
    rows           rows for a trained model
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from truesparse.common.checks import choose
from truesparse.datasets.bundled import BUNDLED, load_bundled
from truesparse.datasets.classes import encode_labels
from truesparse.datasets.dataset import Dataset, Preprocessing
from truesparse.datasets.encoding import TableEncoding
from truesparse.datasets.features import check_features
from truesparse.datasets.files import READERS, read_file
from truesparse.datasets.madelon import SYNTHETIC, make_madelon, parse_synthetic
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.npz import read_npz, save_npz
from truesparse.datasets.openml import SOURCES, default_data_home, load_openml
from truesparse.datasets.prepare import Options, check_options, prepare_dataset
from truesparse.datasets.raw import RawData, TableLayout
from truesparse.datasets.room import require_room_for_file
from truesparse.datasets.rows import PARTS, Rows, take_rows
from truesparse.datasets.table_options import Column, TableOptions
from truesparse.datasets.targets import check_targets
from truesparse.errors import DataError, UsageError

__all__ = [
    "BUNDLED",
    "NAMES",
    "PARTS",
    "READERS",
    "SOURCES",
    "Dataset",
    "Preprocessing",
    "TableOptions",
    "check_features",
    "check_targets",
    "default_data_home",
    "encode_labels",
    "load",
    "load_rows",
    "make_madelon",
    "parse_synthetic",
    "save_npz",
]

NAMES = (*BUNDLED, *SOURCES)


def load(
    name: str | os.PathLike[str],
    data_home: str | os.PathLike[str] | None = None,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    scale: str = "auto",
    scale_target: bool = False,
    task: str = "auto",
    fetch: bool = False,
    dtype: DTypeLike = np.float32,
    memory: int | None = None,
    target: Column | None = None,
    drop: Sequence[Column] = (),
    index: Column | None = None,
    header: str = "auto",
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    missing: str = "error",
    missing_target: str = "error",
    categorical: str = "auto",
) -> Dataset:
    """Load a data set, split into a training and a test part, ready for training.

    Parameters
    ----------
    name : str or path
        One of ``NAMES``; ``synthetic:SAMPLESxFEATURES``; a file with one of the endings
        of ``READERS``; or NAME for NAME.npz in data_home.
    data_home : path, optional
        Folder of downloaded sets; that of `default_data_home` if left out.
    test_fraction : float
        Share of the rows that are held out, the same of every class; not used where
        the source has a test part.
    seed : int
        Seed of the split. The same seed gives the same parts.
    scale : {"auto", "standard", "range", "maxabs", "unit", "none"}
        ``"standard"`` gives every feature mean 0 and deviation 1 in the training part,
        ``"range"`` values from 0 to 1 there; ``"maxabs"`` divides it by its largest
        absolute value there, ``"unit"`` by the largest of all features. ``"auto"`` is
        maxabs for sparse features, which are never centred, unit for grey values
        (pixels from 0 to 255), and standard
        for all others.
    scale_target : bool
        Standardise regression targets; `Dataset.unscale_targets` undoes it.
    task : {"auto", "classification", "multilabel", "regression"}
        Kind of targets; `check_targets` says how ``"auto"`` decides.
    fetch : bool
        Download a set of ``SOURCES`` that data_home lacks.
    dtype : {float32, float64}
        Type of features and real targets.
    memory : int, optional
        Bytes that may be used; all memory of the machine if left out.
    target, drop, index, header, delimiter, decimal, encoding
        How a table is to be read, see `TableOptions`; other sources refuse them.
    missing, missing_target, categorical
        What becomes of gaps and of text in a table, see `TableOptions`.

    Returns
    -------
    Dataset

    Raises
    ------
    UsageError
        If the name is unknown or an option is out of range.
    DataError
        If the data are missing, unreadable or invalid.
    MemoryLimitError
        If the arrays of a file, or the scales of its features, do not fit in `memory`.

    Examples
    --------
    >>> from truesparse.datasets import load
    >>> digits = load("digits", test_fraction=0.25)
    >>> digits
    Dataset('digits', classification, 1347 + 450 rows x 64 features, 10 outputs)
    >>> digits.X_train.dtype, float(digits.X_train.max())
    (dtype('float32'), 1.0)
    """
    table = TableOptions(
        *(target, drop, index, header, delimiter, decimal, encoding),
        *(missing, missing_target, categorical),
    )
    options = check_options(
        test_fraction, seed, scale, scale_target, task, dtype, memory, table
    )
    text, home = _check_names(name, data_home)
    raw = _read(text, home, fetch, options)
    try:
        return prepare_dataset(raw, Path(text).name, options)
    except DataError as error:
        raise DataError(f"{text}: {error}") from error


def load_rows(
    name: str | os.PathLike[str],
    data_home: str | os.PathLike[str] | None = None,
    *,
    n_features: int,
    feature_names: tuple[str, ...] | None = None,
    first_index: int | None = None,
    target_name: str | None = None,
    table_encoding: TableEncoding | None = None,
    layout: TableLayout | None = None,
    part: str | None = None,
    task: str = "auto",
    test_fraction: float = 0.2,
    seed: int = 0,
    fetch: bool = False,
    dtype: DTypeLike = np.float32,
    memory: int | None = None,
    target: Column | None = None,
    drop: Sequence[Column] = (),
    index: Column | None = None,
    header: str = "auto",
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
) -> Rows:
    """Load rows for a trained model, in the units of the source.

    Parameters
    ----------
    name, data_home, fetch, memory
        As `load` takes them.
    n_features : int
        Number of features that the model takes. A table of that width has no target;
        in one with a column more, the target is where it was in training.
    feature_names : tuple of str, optional
        Names of the columns of the training data. From a table with a header these
        columns are taken, in this order; others are ignored.
    first_index : int, optional
        Number of the first feature in the SVMlight file of the training data, 0 or 1.
    target_name : str, optional
        Name of the target's column in the table of the training data. A table with a
        header that lacks it has no target.
    table_encoding : TableEncoding, optional
        How columns became features in training, `Preprocessing.encoding`.
    layout : TableLayout, optional
        Places of other columns in the table of the training data,
        `Preprocessing.layout`.
    part : {"train", "test", "all"}, optional
        Rows to return. By default the test part of a set that has a name or a test
        part, and all rows of other files.
    task, test_fraction, seed, dtype
        As in training: rows are then split, and generated ones drawn, in the same way.
    target, drop, index, header, delimiter, decimal, encoding
        What is to be known of the table, as `load` takes them.

    Returns
    -------
    Rows
        Features and, where there are any, targets.

    Raises
    ------
    UsageError
        If the name or part is unknown.
    DataError
        If the data are missing, unreadable or invalid, or do not suit the model.
    MemoryLimitError
        If the arrays of a file do not fit in `memory`.

    Examples
    --------
    >>> from truesparse.datasets import load_rows
    >>> rows = load_rows("iris", n_features=4, task="classification")
    >>> rows.X.shape, rows.X[0].tolist(), len(rows.y)
    ((30, 4), [5.1, 3.5, 1.4, 0.2], 30)
    """
    if part is not None:
        choose(part, PARTS, "part")
    table = TableOptions(target, drop, index, header, delimiter, decimal, encoding)
    options = check_options(
        test_fraction, seed, "none", False, task, dtype, memory, table
    )
    text, home = _check_names(name, data_home)
    expected = Expected(
        *(n_features, feature_names, first_index, target_name, table_encoding, layout)
    )
    raw = _read(text, home, fetch, options, expected)
    try:
        return take_rows(
            raw,
            part,
            expected,
            task=task,
            test_fraction=test_fraction,
            seed=seed,
            is_named=not _is_path(text),
        )
    except DataError as error:
        raise DataError(f"{text}: {error}") from error


def _check_names(name, data_home) -> tuple[str, Path]:
    if not isinstance(name, str | os.PathLike):
        raise UsageError(f"a data set must be a name or a path, got {name!r}")
    text = os.fspath(name)
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"a data set must be a name or a path, got {text!r}")
    if data_home is None:
        return text, default_data_home().expanduser()
    if not isinstance(data_home, str | os.PathLike):
        raise UsageError(f"data_home must be the path of a folder, got {data_home!r}")
    return text, Path(data_home).expanduser()


def _is_path(name: str) -> bool:
    if name in NAMES or name.startswith(SYNTHETIC):
        return False
    path = Path(name).expanduser()
    return bool(path.suffix) or len(path.parts) > 1 or path.exists()


def _read(
    name: str,
    home: Path,
    fetch: bool,
    options: Options,
    expected: Expected | None = None,
) -> RawData:
    dtype, in_home = options.dtype, home / f"{name}.npz"
    if not _is_path(name):
        options.table.accept_only((), f"the data set {name!r}, which is no table")
    if name in BUNDLED:
        return load_bundled(name)
    if name in SOURCES:
        require_room_for_file(in_home, dtype, options.memory)
        return load_openml(name, home, fetch)
    if name.startswith(SYNTHETIC):
        n_samples, n_features = parse_synthetic(name)
        n_informative = min(5, n_features)
        n_redundant = min(15, n_features - n_informative)
        # Seed 0 whatever the split: a name stands for the same rows, like any other.
        X, y = make_madelon(
            n_samples, n_features, n_informative, n_redundant, 0, dtype=dtype
        )
        return RawData(X, y, task="classification")
    if _is_path(name):
        path = Path(name).expanduser()
        require_room_for_file(path, dtype, options.memory)
        return read_file(path, options.table, expected)
    if in_home.is_file():
        require_room_for_file(in_home, dtype, options.memory)
        return read_npz(in_home, options.table, expected)
    try:
        choose(name, NAMES, "data set")
    except UsageError as error:
        raise UsageError(
            f"{error} Or give synthetic:SAMPLESxFEATURES, a file ending in "
            f"{', '.join(READERS)}, or put {name}.npz into {home}."
        ) from None
    raise AssertionError("every accepted name is read above")
