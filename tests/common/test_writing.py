"""Files are replaced as a whole or not at all."""

import pytest

from truesparse.common.writing import replacing


def test_a_file_is_replaced_once_all_is_written(tmp_path):
    path = tmp_path / "table.CSV"
    path.write_text("old")
    with replacing(path, "table") as partial:
        assert partial.suffix == ".csv"
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_half():
        with replacing(path, "table") as partial:
            partial.write_text("ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
