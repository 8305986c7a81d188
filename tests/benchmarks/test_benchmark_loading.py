"""The benchmark of loading reads the same table with every reader."""

import json

import pytest

from benchmarks import digest, loading, report
from benchmarks.stored import Results


def test_every_reader_reads_both_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loading, "ROUNDS", 1)
    out = tmp_path / "loading.json"
    assert loading.main(["--smoke", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["kind"], row["reader"]) for row in rows] == [
        (kind, reader) for kind in ("whole", "real") for reader in loading.READERS
    ]
    sizes = {(row["kind"], row["reader"]): row["array_mb"] for row in rows}
    # int64 frames of 785 columns; int16 features; float32 features, unless as stored.
    assert sizes["whole", "pandas"] / sizes["whole", "read"] == pytest.approx(
        785 * 8 / (784 * 2), rel=1e-3
    )
    assert sizes["whole", "load"] == pytest.approx(2 * sizes["whole", "read"])
    assert sizes["real", "load"] == pytest.approx(sizes["real", "read"])
    assert all(row["seconds"] > 0 for row in rows)
    assert "the time of the faster library" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "peak_mb", "verdict"),
    [(1.2, 140, "met"), (1.4, 140, "MISSED"), (1.2, 160, "MISSED")],
)
def test_verdicts(seconds, peak_mb, verdict):
    row = {"reader": "read", "seconds": seconds, "array_mb": 100, "peak_mb": peak_mb}
    assert loading.describe("real", row, fastest=1.0).endswith(f"{verdict})")
    row["reader"] = "load"
    verdict = "met" if peak_mb < 150 else "MISSED"
    assert loading.describe("real", row, 1.0).endswith(f"{verdict})")
    row["reader"] = "pandas"
    assert "met" not in loading.describe("real", row, 1.0).lower()


def test_the_check_of_a_digest_is_timed_in_both_places(tmp_path, capsys):
    assert digest.parse(["--smoke"]).out is None
    assert digest.parse([]).out.name == "digest.json"
    path = tmp_path / "digest.json"
    assert digest.main(["--smoke", "--out", str(path)]) == 0
    result = json.loads(path.read_text())
    assert result["file_bytes"] > 20 * 2200 * 8
    rows = result["rows"]
    assert [row["place"] for row in rows] == ["cache", "disk"]
    for row in rows:
        assert row["share"] == pytest.approx(row["checked_s"] / row["plain_s"] - 1)
        assert row["plain_s"] > 0
    rows[0] |= {"plain_s": 1.0, "checked_s": 1.11, "share": 0.11}
    rows[1] |= {"plain_s": 1.0, "checked_s": 1.1, "share": 0.1}
    path.write_text(json.dumps(result))
    lines = report.table("digest", Results(tmp_path)).splitlines()
    assert (
        lines[2] == "| from the cache | 1.00 | 1.11 | +11% | at most 10%: **missed** |"
    )
    assert lines[3] == "| from the disk | 1.00 | 1.10 | +10% | at most 10%: met |"
