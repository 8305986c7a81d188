"""Text tables to write, and the engines that read them."""

from unittest import mock

from truesparse.datasets import text_tables

ENGINES = ("pandas", "python")


def using(engine):
    """Return a context in which tables are read with pandas or without."""
    if engine == "pandas":
        return mock.patch.object(text_tables, "_read_with_python", None)
    return mock.patch.object(text_tables.importlib.util, "find_spec", return_value=None)


def tab(head, *columns, delimiter=","):
    """Return the text of a table; without `head` it has no header."""
    rows = [delimiter.join(map(str, cells)) for cells in zip(*columns, strict=True)]
    return "\n".join([head, *rows] if head else rows) + "\n"


def read(folder, text, name="t.csv", **options):
    """Write the text of a table into a file, and read it."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return text_tables.read_table(path, **options)
