"""Damaged files of each kind are refused, or warned of where the digest is gone."""

import pytest

from tests.long.lanes.mutations import READERS, mutate, originals
from truesparse.errors import ModelFileError


@pytest.mark.compiled
def test_no_damage_is_silent():
    figures = mutate(0, 300)
    assert not figures.failures
    assert figures.cases == 300
    assert figures.outcomes["refused"] > 250


@pytest.mark.compiled
@pytest.mark.parametrize("kind", READERS)
def test_what_is_not_damaged_is_read(kind, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(originals()[kind])
    READERS[kind](path)
    path.write_bytes(originals()[kind][:-1])
    with pytest.raises(ModelFileError):
        READERS[kind](path)
