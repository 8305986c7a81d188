"""A file of options."""

import pytest


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "options.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
