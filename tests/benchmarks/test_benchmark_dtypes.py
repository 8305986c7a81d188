"""The benchmark of activation dtypes: pairs of runs, resuming, the table."""

import json

import pytest
from support.training import save_small_data

from benchmarks import activation_dtypes, report, stored
from benchmarks.activation_dtypes import KEY, DataSet, summarise


def run_of(seed, name, final, data="mnist"):
    return dict(zip(KEY, (data, "set", name, seed), strict=True)) | {"final": final}


def runs_of(plain, rounded):
    """Return runs whose last scores are given seed by seed, for both dtypes."""
    return [
        run_of(seed, name, final)
        for name, finals in (("float32", plain), ("bfloat16", rounded))
        for seed, final in enumerate(finals)
    ]


def test_seeds_are_compared_in_pairs():
    # The last one has no partner.
    [row] = summarise(runs_of((0.90, 0.92, 0.94, 0.1), (0.91, 0.91, 0.96)))
    assert (row["data"], row["method"], row["seeds"]) == ("mnist", "set", 3)
    assert row["float32_mean"] == pytest.approx(0.92)
    assert row["bfloat16_sd"] == pytest.approx(0.0288675, rel=1e-5)
    # 0.01, -0.01 and 0.02
    assert row["difference"] == pytest.approx(0.02 / 3)
    assert row["difference_sd"] == pytest.approx(0.0152753, rel=1e-5)
    assert row["equal"] is True
    [row] = summarise(runs_of((0.9, 0.9), (0.8, 0.7)))
    assert row["difference"] == pytest.approx(-0.15)
    assert row["equal"] is False
    [row] = summarise(runs_of((0.5,), (0.5,)))
    assert row["difference_sd"] is row["equal"] is None
    assert summarise(runs_of((0.5,), ())) == []


@pytest.mark.filterwarnings("ignore:the first update of topology")
def test_it_trains_resumes_and_fills_the_table(tmp_path, monkeypatch, capsys):
    save_small_data(tmp_path)
    monkeypatch.setitem(activation_dtypes.SETS, "small", DataSet("Small", 2))
    out = tmp_path / "activation_dtypes.json"
    flags = f"--data-home {tmp_path} --sets small --hidden 16,16 --epsilon 4"
    flags += f" --batch-size 32 --out {out}"
    assert activation_dtypes.main([*flags.split(), "--seeds", "1"]) == 0
    first = json.loads(out.read_text())["runs"]
    assert [run["activation_dtype"] for run in first] == ["float32", "bfloat16"] * 2
    assert all(len(run["scores"]) == 2 for run in first)
    by_dtype = [run["train_losses"] for run in first if run["method"] == "set"]
    assert by_dtype[0] != by_dtype[1]
    assert by_dtype[1] == pytest.approx(by_dtype[0], rel=0.05)
    assert activation_dtypes.main([*flags.split(), "--seeds", "2"]) == 0
    file = json.loads(out.read_text())
    assert file["runs"][:4] == first
    assert len(file["runs"]) == 8
    assert "4 runs done, 4 to do" in capsys.readouterr().err
    text = report.table("activation_dtypes", stored.Results(tmp_path))
    assert "| Small | SET |" in text
    assert "Epochs: 2 (Small)." in text
    assert activation_dtypes.main([*flags.split(), "--lr", "0.2"]) == 2
    assert "other settings (lr 0.1, not 0.2)" in capsys.readouterr().err
