"""Data sets in text tables, .csv and its relatives: text_tables.py, then tables.py."""

from pathlib import Path

from truesparse.datasets.columns import choose_columns
from truesparse.datasets.model_columns import Expected, choose_for_model
from truesparse.datasets.raw import RawData
from truesparse.datasets.table_options import TableOptions
from truesparse.datasets.tables import ReadTable, take_columns
from truesparse.datasets.text_tables import line_of, read_table
from truesparse.errors import DataError, UsageError


def read_csv(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read a text table with or without header.

    Parameters
    ----------
    path : Path
        Path of an existing text file.
    options : TableOptions
    expected : Expected, optional
        Columns that a model takes: the target may then be absent.

    Raises
    ------
    DataError
        If the file is no table, or its columns do not suit.
    UsageError
        If an option names a column that the table lacks.
    """
    table = read_table(
        path,
        encoding=options.encoding,
        delimiter=options.delimiter,
        decimal=options.decimal,
        header=options.has_header,
        together=lambda names, n_columns: _features(
            names, n_columns, path, options, expected
        ),
    )
    columns = ReadTable(
        path,
        table.names,
        table.columns,
        line_of=lambda row: line_of(path, table, row),
        decimal=table.dialect.decimal,
        separation=", separated by comma, semicolon, tab, bar or spaces, or by another "
        "delimiter that you name (--delimiter)",
    )
    return take_columns(columns, options, expected)


def _features(
    names: list[str] | None,
    n_columns: int,
    path: Path,
    options: TableOptions,
    expected: Expected | None,
) -> list[int]:
    """Return the columns that will be the features, as far as the header says."""
    try:
        if expected is None:
            return choose_columns(names, n_columns, path, options).features
        features = choose_for_model(names, n_columns, path, options, expected).features
        if expected.encoding is None:
            return features
        pairs = zip(features, expected.encoding.columns, strict=True)
        return [i for i, how in pairs if how.categories is None]
    except (DataError, UsageError):
        return []  # refused when the table is read, unless that is refused first
