"""Files are replaced as a whole or not at all."""

import errno
import os

import pytest

from truesparse.common.writing import replacing
from truesparse.errors import StorageError


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


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_is_kept_under_a_second_name(has_links, tmp_path, monkeypatch):
    path, previous = tmp_path / "c.bin", tmp_path / "c.previous.bin"
    real, seen = os.replace, []

    def replace(source, target):
        if target == path:
            seen.append(path.exists())
        real(source, target)

    def refuse(source, target):
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "replace", replace)
    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    for number in range(3):
        with replacing(path, "file", previous=previous) as partial:
            partial.write_text(str(number))
    # A process that is killed at any moment leaves a file in its place.
    assert seen == [False, has_links, has_links]
    assert (path.read_text(), previous.read_text()) == ("2", "1")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_cannot_be_replaced_leaves_the_one_before(tmp_path, monkeypatch):
    """As one that is immutable."""
    path, previous = tmp_path / "c.bin", tmp_path / "c.previous.bin"
    for each in (path, previous):
        each.write_text(each.name)

    def refuse(source, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), target)

    monkeypatch.setattr(os, "replace", refuse)
    for has_links in (True, False):
        if not has_links:
            monkeypatch.setattr(os, "link", refuse)
        with (
            pytest.raises(StorageError, match="not permitted"),
            replacing(path, "file", previous=previous) as partial,
        ):
            partial.write_text("new")
        assert [each.read_text() for each in (path, previous)] == [
            "c.bin",
            "c.previous.bin",
        ]
        assert len(list(tmp_path.iterdir())) == 2
