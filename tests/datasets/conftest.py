"""A folder for files of data, and the engines that read text tables."""

import pytest
from support.text_tables import ENGINES, using


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that is also data_home."""
    monkeypatch.setenv("TRUESPARSE_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture(params=ENGINES)
def engine(request):
    """Read with pandas, then without."""
    with using(request.param):
        yield request.param
