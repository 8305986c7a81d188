"""A folder for files of data."""

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that is also data_home."""
    monkeypatch.setenv("TRUESPARSE_DATA", str(tmp_path))
    return tmp_path
