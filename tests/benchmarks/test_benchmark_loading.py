"""The benchmark of loading reads the same table with every reader."""

import json

import pytest

from benchmarks import loading


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
