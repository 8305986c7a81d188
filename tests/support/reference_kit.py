"""A kit of all cases with few steps, written once a session."""

import pytest

from truesparse.reference import write


@pytest.fixture(scope="session")
def kit(tmp_path_factory):
    """Return the folder of a kit, as text."""
    folder = tmp_path_factory.mktemp("kits") / "kit"
    assert write.main([str(folder), "--steps=10"]) == 0
    return str(folder)
