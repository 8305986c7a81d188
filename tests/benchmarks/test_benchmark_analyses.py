"""The benchmark of the analyses runs, and fills its table."""

import json

from benchmarks import analyses, report


def test_a_small_run_fills_the_table(tmp_path):
    out = tmp_path / "analyses.json"
    assert analyses.main(f"--smoke --parts ranks --out {out}".split()) == 0
    [row] = json.loads(out.read_text())["rows"]
    assert row["seconds"] > 0
    assert row["most_seconds"] == 60.0
    text = report.table("analyses", report.Results(tmp_path))
    assert "| ranks | 200 | ranks |" in text
    assert text.count("| met |") == 1


def test_curves_have_limits():
    names = [name for name, _ in analyses.curves(24)]
    assert len(names) == 6
    limits = [analyses.limit_of("curves", name) for name in names]
    assert limits == [*[10.0] * 5, 180.0]
    assert analyses.limit_of("large", "ranks of all layers") is None
