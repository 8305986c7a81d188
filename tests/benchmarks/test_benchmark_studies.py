"""The studies: their runs, what they resume, and the reports they write."""

import json

import numpy as np
import pytest

from benchmarks.studies import frame, robustness_study, training, zeta_study
from truesparse import SparseMLP

TINY = ["--smoke", "--hidden", "12,10", "--epochs", "1", "--seeds", "1"]


def test_the_robustness_study_compares_all_methods(tmp_path, capsys):
    out = tmp_path / "s"
    assert robustness_study.main([*TINY, "--out", str(out)]) == 0
    assert (out / "robustness.png").exists()
    assert (out / "convergence.png").exists()
    facts = json.loads((out / "report.json").read_text())
    names = [run["setting"]["name"] for run in facts["runs"]]
    assert names == list(robustness_study.METHODS)
    text = (out / "report.md").read_text()
    for run in facts["runs"]:
        curve = run["result"]["curves"][0]
        assert curve["perturbation"] == "weight_order"
        assert f"{curve['area']:.3f}" in text
    # Again: nothing is run, and the report is the same.
    capsys.readouterr()
    assert robustness_study.main([*TINY, "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    assert (out / "report.md").read_text() == text


def test_the_zeta_study_sweeps_zeta_and_epsilon(tmp_path):
    out = tmp_path / "s"
    assert zeta_study.main([*TINY, "--out", str(out)]) == 0
    facts = json.loads((out / "report.json").read_text())
    sizes = zeta_study.SIZES["smoke"]
    sweeps = [run["setting"]["sweep"] for run in facts["runs"]]
    assert sweeps.count("zeta") == len(sizes["zetas"])
    assert sweeps.count("epsilon") == len(sizes["epsilons"])
    text = (out / "report.md").read_text()
    assert "not the sparsity" in text
    assert "| published | 0.204 | 183 | 0.868 | 0.984 |" in text
    assert (out / "inputs-digits.png").exists()
    result = facts["runs"][0]["result"]
    assert len(result["input_degrees"]) == 64
    assert result["best"] == max(result["accuracies"])


def test_the_grids_are_those_of_the_document():
    grid = zeta_study.FULL_GRID
    assert len(grid) == 10 + 7 + 21
    assert grid[:2] == [0.0, 0.1]
    assert {0.9, 0.91, 0.97, 0.98, 0.981, 0.999} < set(grid)
    assert (np.diff(grid) > 0).all()


def test_pruning_leaves_the_largest_weights_of_each_layer():
    model = SparseMLP([20, 30, 10, 3], density=1.0, seed=1)
    small = training.pruned(model, 0.1)
    assert [layer.connections.nnz for layer in small.layers] == [60, 30, 30]
    for index in range(2):
        dense = np.abs(model.layers[index].connections.to_scipy().toarray())
        left = np.abs(small.layers[index].connections.values)
        wanted = np.sort(dense.ravel())[-left.size :]
        np.testing.assert_array_equal(np.sort(left), wanted)


def test_flags_replace_the_values_of_a_size():
    parser = robustness_study.make_parser()
    options = parser.parse_args(["--full", "--hidden", "5,6", "--data", "a,b"])
    chosen = frame.with_size(options, robustness_study.SIZES)
    assert (chosen["hidden"], chosen["data"]) == ([5, 6], ["a", "b"])
    assert (chosen["size"], chosen["epochs"]) == ("full", 100)
    with pytest.raises(SystemExit):
        parser.parse_args(["--full", "--smoke"])


def test_means_leave_out_what_is_missing():
    assert frame.mean_text([0.5, None, float("nan")]) == "0.500"
    assert frame.mean_text([0.0, 1.0], 1) == "0.5 \N{PLUS-MINUS SIGN} 0.7"
    assert frame.mean_text([]) == "-"
