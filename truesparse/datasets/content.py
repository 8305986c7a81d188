"""Text files by what they hold: SVMlight, ARFF, Matrix Market or a table.

Names say little: LIBSVM's sets end in .t, .scale, .txt or nothing at all.
"""

import itertools
import re
from pathlib import Path

from truesparse.datasets.arff import read_arff
from truesparse.datasets.csv_table import read_csv
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.raw import RawData
from truesparse.datasets.single_cells import read_mtx
from truesparse.datasets.svmlight import read_svmlight
from truesparse.datasets.table_options import TableOptions, say
from truesparse.datasets.text_files import BROKEN, encoding_of, open_text
from truesparse.errors import DataError

_SAMPLE_LINES = 50
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_PAIR = re.compile(rf"(\d+|qid):{_NUMBER}$")
_TIME = re.compile(r"([01]?\d|2[0-3]):[0-5]\d$")
_READERS = {
    "svmlight": read_svmlight,
    "arff": read_arff,
    "mtx": read_mtx,
    "table": read_csv,
}


def read_text(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read a text file in the format that its first lines have.

    Parameters
    ----------
    path : Path
        Path of an existing file, compressed or not.
    options : TableOptions
        A delimiter says that it is a table.
    expected : Expected, optional
        Features that a model takes: targets may then be absent.

    Raises
    ------
    DataError
        If the file is binary, JSON, XML or ambiguous, or cannot be read.
    UsageError
        If an option means nothing for the format.
    """
    content = "table"
    if options.delimiter is None:
        content = recognise(path, options.encoding or encoding_of(path))
    return _READERS[content](path, options, expected)


def recognise(path: Path, encoding: str) -> str:
    """Return "svmlight", "arff", "mtx" or "table".

    Raises
    ------
    DataError
        If the file holds JSON or XML, or may be a table of times of day as well as
        SVMlight.
    """
    try:
        with open_text(path, encoding) as file:
            lines = list(itertools.islice(file, _SAMPLE_LINES))
    except BROKEN:
        return "table"  # whose reader says what is wrong
    rows = [line.strip() for line in lines if line.strip()]
    if not rows:
        return "table"
    if rows[0].startswith("%%MatrixMarket"):
        return "mtx"
    head = next((row for row in rows if not row.startswith("%")), "").lower()
    if head.startswith(("@relation", "@attribute")):
        return "arff"
    if head.startswith(("{", "<", "[{", "[[")) or head == "[":
        raise DataError(
            f"cannot read {path}: it looks like JSON, XML or HTML; store it as a table"
        )
    return "svmlight" if _is_svmlight(rows, path) else "table"


def _is_svmlight(rows: list[str], path: Path) -> bool:
    """Whether most rows are a label and pairs; the reader then finds the bad ones."""
    n_fit, counts, values = 0, set(), []
    for row in rows:
        cells = row.partition("#")[0].split()
        if not cells:
            continue  # a comment
        pairs = cells[":" not in cells[0] :]
        n_fit += bool(pairs and all(map(_PAIR.match, pairs)))
        counts.add(len(pairs))
        values += pairs
    if n_fit == 0 or 2 * n_fit < len(rows):
        return False
    if len(counts) == 1 and all(map(_TIME.match, values)):
        raise DataError(
            f"{path} may be SVMlight text or a table of times such as {values[0]}; "
            f"name it {path.name}.svm if it is SVMlight, or say "
            f"{say('delimiter', 'space')} if it is a table"
        )
    return True
