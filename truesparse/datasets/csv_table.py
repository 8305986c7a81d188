"""Data sets in text tables, .csv and its relatives: text_tables.py, then tables.py."""

from pathlib import Path

from truesparse.datasets.model_columns import Expected
from truesparse.datasets.raw import RawData
from truesparse.datasets.table_options import TableOptions
from truesparse.datasets.tables import ReadTable, take_columns
from truesparse.datasets.text_tables import line_of, read_table


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
