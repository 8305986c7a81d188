"""The studies: their runs, what they resume, and the reports they write."""

import json

import numpy as np
import pytest

import truesparse
from benchmarks.studies import (
    balance_claims,
    balance_study,
    claims,
    fan_in_claims,
    fan_in_study,
    frame,
    robustness_claims,
    robustness_study,
    training,
    zeta_curves,
    zeta_report,
    zeta_study,
)
from truesparse import SparseMLP
from truesparse.errors import DataError

TINY = ["--smoke", "--hidden", "12,10", "--epochs", "1", "--seeds", "1"]


def test_the_robustness_study_compares_all_methods(tmp_path, capsys):
    out = tmp_path / "s"
    assert robustness_study.main([*TINY, "--out", str(out)]) == 0
    for kind in ("robustness", "convergence", "weights"):
        assert (out / f"{kind}-digits.png").exists()
    facts = json.loads((out / "report.json").read_text())
    names = [run["setting"]["name"] for run in facts["runs"]]
    assert names == list(robustness_study.METHODS)
    text = (out / "report.md").read_text()
    commits = {run["commit"] for run in facts["runs"]}
    assert commits == {facts["commit"]}
    assert f"commit {facts['commit']}." in text
    for run in facts["runs"]:
        curve = run["result"]["curves"][0]
        assert curve["perturbation"] == "weight_order"
        assert f"{curve['area']:.3f}" in text
        active = sum(run["result"]["active"][1:-1])
        assert f" | {100 * active / (12 + 10):.1f} |" in text
        assert f"](robustness-{run['setting']['data']}.png)" in text
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
    # Two curves, and epsilon on the first one.
    assert sweeps.count("zeta") == 2 * len(sizes["zetas"])
    assert sweeps.count("epsilon") == len(sizes["epsilons"])
    text = (out / "report.md").read_text()
    assert "not the sparsity" in text
    assert "| *published* | 0.204 | 183 | 0.868 | 0.013 | 0.984 |" in text
    for name in ("inputs-digits-set", "inputs-digits-rigl", "densities"):
        assert f"]({name}.png)" in text
        assert (out / f"{name}.png").exists()
    result = facts["runs"][0]["result"]
    assert len(result["input_degrees"]) == len(result["input_sums"]) == 64
    assert result["best"] == max(result["accuracies"])
    # Line by line, the sparsity that epsilon makes, and not zeta.
    for run in facts["runs"]:
        densities = run["result"]["densities"]
        assert f" | {100 * (1 - densities[0]):.4g} %" in text


def curve_rows(accuracy, method="set", correlation=0.0):
    rows = []
    for zeta in zeta_study.GRID:
        setting = {"data": "a", "method": method, "sweep": "zeta"}
        setting["options"] = {"zeta": zeta}
        result = {"best": float(accuracy(zeta)), "image_correlation": correlation}
        rows.append((setting, result | {"densities": [0.1, 1.0]}))
    return rows


def verdicts(rows):
    table = zeta_report.claims(zeta_curves.curves_of(rows)).splitlines()[2:]
    return [line.split(" | ")[-1].removesuffix(" |") for line in table]


def test_the_claims_of_the_zeta_study_hold_for_its_published_curve():
    published = zeta_curves.published()
    noise = np.random.default_rng(0).normal(0, 0.001, len(zeta_study.GRID)).tolist()

    def measured(zeta):
        return published.accuracy(zeta) + noise[zeta_study.GRID.index(zeta)]

    rows = curve_rows(measured)
    # The features are not those of the document.
    want = ["holds"] * 5 + ["does not hold", "holds"]
    assert verdicts(rows) == want
    follows = curve_rows(measured, correlation=-0.9)
    assert verdicts(follows) == ["holds"] * 6 + ["does not hold"]
    # Another curve is judged by its form.
    line = curve_rows(lambda zeta: 0.9 - 0.2 * zeta, "rigl")
    assert verdicts(rows + line) == [*want, "does not hold", "does not hold"]
    shifted = curve_rows(lambda zeta: measured(zeta) - 0.05)
    assert verdicts(shifted)[3] == "does not hold"


def test_the_rewired_fraction_of_all_curves_is_zeta_until_the_end():
    settings = zeta_study.settings_of(zeta_study.SIZES["default"])
    methods = {setting["method"] for setting in settings}
    assert methods == {"set", "rigl"}
    for setting in settings:
        algorithm = training.make_topology(setting)
        zeta = setting["options"]["zeta"]
        assert [algorithm.fraction.at(t) for t in (0.0, 0.8, 0.99)] == [zeta] * 3
        assert (algorithm.schedule.every, algorithm.schedule.unit) == (1, "epoch")


def test_the_grids_are_those_of_the_document():
    grid = zeta_study.FULL_GRID
    assert len(grid) == 10 + 7 + 21
    assert grid[:2] == [0.0, 0.1]
    assert {0.9, 0.91, 0.97, 0.98, 0.981, 0.999} < set(grid)
    assert (np.diff(grid) > 0).all()


def test_claims_compare_runs_of_one_data_set_and_seed():
    def run(name, seed, value, data="a"):
        return {"name": name, "data": data, "seed": seed}, {"accuracy": value}

    def accuracy(result):
        return result["accuracy"]

    rows = [run("x", 0, 0.9), run("x", 1, 0.7), run("y", 0, 0.8), run("y", 1, 0.6)]
    claim = claims.Claim("x is better", "accuracy", accuracy, "x", "y")
    differences, outcome = claims.judge(claim, rows)
    # The spread between seeds is large, that of pairs is not.
    assert differences == pytest.approx([0.1, 0.1])
    assert outcome == "holds"
    opposite = claim._replace(first="y", second="x")
    assert claims.judge(opposite, rows)[1] == "does not hold"
    assert claims.judge(claim._replace(margin=0.2), rows)[1] == "does not hold"
    assert claims.judge(claim._replace(within=0.2), rows)[1] == "holds"
    # Other data, a seed without its pair and a run that diverged do not count.
    more = [run("x", 2, 0.0), run("y", 0, 0.0, "b"), run("y", 2, None)]
    assert claims.judge(claim, [*rows, *more])[0] == differences
    text = claims.claims_table([claim], rows)
    cells = "x - y | 0.100 \N{PLUS-MINUS SIGN} 0.000 | 2 | holds |"
    assert f"| x is better | accuracy | {cells}" in text


def test_the_claims_of_the_robustness_study_hold_for_its_published_areas():
    rows = []
    for seed in range(2):
        for name, values in robustness_study.PUBLISHED.items():
            kinds = zip(robustness_study.COLUMNS, values, strict=False)
            curves = [
                {
                    "perturbation": kind,
                    "area": value,
                    "fractions": [0.0, 0.1, 1.0],
                    "accuracies": [[0.9, 0.12, 0.1]],
                }
                for kind, value in kinds
            ]
            early = 0.9 if name.startswith("CH3L3") else 0.8
            result = {
                "accuracy": 0.9,
                "accuracies": [early, early, early, 0.9],
                "curves": curves,
                "effective_rank": values[5],
                "stable_rank": values[6],
                # The number of neurons is not published: only which has more.
                "active": [5, 4 if name.startswith("CH3L3") else 8, 3],
                "hidden": [10],
            }
            rows.append(({"name": name, "data": "a", "seed": seed}, result))
        dense = {"accuracy": 0.2, "accuracies": [0.9]}
        rows.append(({"name": "dense, pruned", "data": "a", "seed": seed}, dense))
    for claim in robustness_claims.CLAIMS:
        assert claims.judge(claim, rows)[1] == "holds", claim


@pytest.mark.compiled
def test_the_balance_study_has_the_four_tables(tmp_path):
    out = tmp_path / "s"
    arguments = ["--smoke", "--epochs", "1", "--seeds", "1", "--out", str(out)]
    assert balance_study.main(arguments) == 0
    facts = json.loads((out / "report.json").read_text())
    sizes = balance_study.SIZES["smoke"]
    n_places = len(sizes["nets"]) * len(sizes["sparsities"]) * 2
    assert len(facts["runs"]) == len(sizes["nets"]) + 7 * n_places
    text = (out / "report.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("| method")]
    assert heads[0].startswith("| method | 80 %, ERK | 80 %, uniform | 97 %, ERK |")
    for run in facts["runs"]:
        setting, result = run["setting"], run["result"]
        if setting["name"] == "dense":
            assert result["densities"] == [1.0] * len(result["densities"])
        else:
            # The budget of all layers; where it moves, it is the same in the end.
            share = sum(result["nnz"]) / sum(result["cells"])
            assert share == pytest.approx(setting["density"], rel=0.01)
            assert len(result["densities_by_epoch"]) == 1
        assert f"{100 * result['accuracy']:.2f}" in text
    assert (out / "densities.png").exists()


def test_data_sets_after_the_first_are_compared_in_less_time():
    default = balance_study.SIZES["default"]
    for chosen, without, epochs in (
        (default, {"SET+RigL", "GGR SET", "GGR RigL"}, [{16}, {10}]),
        (default | balance_study.SIZES["full"], set(), [{60}, {60}]),
    ):
        settings = balance_study.settings_of(chosen)
        parts = [[s for s in settings if s["data"] == data] for data in chosen["data"]]
        first, second = ({s["name"] for s in part} for part in parts)
        assert first - second == without
        assert [{s["epochs"] for s in part} for part in parts] == epochs
    rows = [(s, {"accuracy": 0.5}) for s in balance_study.settings_of(default)]
    runs = balance_study.Runs(rows, default)
    assert runs.nets_of(balance_study.COMPARED) == runs.nets
    ablated = [("fashion_mnist", "even"), ("fashion_mnist", "one large")]
    assert runs.nets_of(balance_study.ABLATION) == ablated
    assert "| fashion_mnist | one large | dense | not run |" in runs.by_net()


def test_table_4_counts_empty_neurons_over_all_layers():
    result = {"neurons": [10, 20, 5], "empty_neurons": [0.5, 0.2]}
    result["empty_inputs"] = [0.1, 0.25]
    assert balance_claims.share_of(result, "empty_neurons", 1) == pytest.approx(44.0)
    assert balance_claims.share_of(result, "empty_inputs", 0) == pytest.approx(20.0)


def test_one_schedule_holds_for_all_methods_of_the_balance_study():
    settings = balance_study.settings_of(balance_study.SIZES["default"])
    for setting in settings:
        if setting["name"] != "dense":
            algorithm = training.make_topology(setting)
            assert algorithm.fraction.at(0.0) == 0.1
            assert algorithm.fraction.at(0.5) == 0.0
            assert (algorithm.schedule.every, algorithm.schedule.unit) == (1, "epoch")


def test_the_fan_in_study_measures_the_nets_that_it_trained(tmp_path):
    out = tmp_path / "s"
    arguments = [*TINY, "--out", str(out)]
    assert fan_in_study.main(arguments) == 0
    facts = json.loads((out / "report.json").read_text())
    files = [
        run["result"]["model"] for run in facts["runs"] if "model" in run["result"]
    ]
    # Two kinds of SRigL at two sparsities.
    assert len(files) == len(set(files)) == 4
    assert sorted(facts["latencies_us"]) == sorted(files)
    for name in files:
        assert facts["latencies_us"][name]["condensed"] > 0.0
        layer = truesparse.load(out / "models" / name).layers[0].connections
        counts = np.bincount(layer.indices, minlength=layer.n_out)
        # Updates have made the fan-in the same for all neurons that are left.
        assert len(set(counts) - {0}) == 1
        assert ("without" in name) <= (counts > 0).all()
    text = (out / "report.md").read_text()
    assert "| SRigL without ablation | 80 % |" in text
    assert (out / "fan_in-digits.png").exists()
    assert "| without ablation it falls behind RigL above 90 % |" in text
    for run in facts["runs"]:
        if run["setting"]["name"] == "SRigL without ablation":
            assert run["result"]["empty_neurons"][:2] == [0.0, 0.0]


def balance_rows(change=lambda name, value: value):
    """Return runs of the published averages on two data sets and two seeds."""
    rows, sizes = [], balance_study.SIZES["default"]
    columns = [(s, d) for s in sizes["sparsities"] for d in balance_study.DISTRIBUTIONS]
    for name, values in balance_study.PUBLISHED.items():
        for (sparsity, distribution), text in zip(columns, values, strict=True):
            for data, seed in ((d, s) for d in "ab" for s in (0, 1)):
                setting = {"name": name, "data": data, "net": "even", "seed": seed}
                setting["density"] = round(1 - sparsity, 6)
                setting["init_topology"] = distribution
                empty = {"SET": 0.32, "RigL": 0.5, "DSR": 0.57}.get(name, 0.62)
                result = {"accuracy": None, "neurons": [5, 10, 2]}
                result["empty_neurons"] = [change(name, empty), 0.0]
                if text != "-":
                    # Data sets differ by more than methods do.
                    result["accuracy"] = change(name, float(text) / 100) - 0.2 * seed
                rows.append((setting, result))
    return rows


def outcomes(claims_, rows, place):
    judged = {}
    for claim in claims_:
        differences, outcome = claims.judge(claim, rows, place)
        judged[claim.text, claim.second] = len(differences), outcome
    return judged


def test_the_claims_of_the_balance_study_are_those_of_its_published_averages():
    place = balance_claims.place_of_run
    got = outcomes(balance_claims.CLAIMS, balance_rows(), place)
    best = "GGR is the best at 97 and 99 %"
    # Three of four columns where the other did not diverge, on two sets, two seeds.
    assert got[best, "RigL"] == (12, "holds")
    assert got[best, "SET"] == (16, "holds")
    assert got["GGR is the best at 99 %", "DSR"] == (4, "holds")
    assert got["GGR recovers from a uniform distribution", "SET"] == (8, "holds")
    assert got["GGR leaves the most neurons empty", "DSR"] == (8, "holds")
    # At 90 % from ERK it is 0.5 below, in the mean far above.
    assert got["GGR is no worse in any setting", "SET"] == (24, "holds")
    worse = balance_rows(lambda name, value: value - 0.5 * (name == "GGR"))
    judged = outcomes(balance_claims.CLAIMS, worse, place)
    assert {outcome for _, outcome in judged.values()} == {"does not hold"}


def test_the_claims_of_the_fan_in_study():
    def run(name, density, seed, accuracy, active):
        setting = {"name": name, "data": "a", "density": density, "seed": seed}
        result = {"accuracy": accuracy - 0.1 * seed, "neurons": [7, 10, 3]}
        result |= {"active": [7, active, 3], "model": f"{name}{density}{seed}"}
        return setting, result

    rows = []
    for seed in range(3):
        rows += [run(name, 0.1, seed, 0.9, 10) for name in ("SRigL", "RigL")]
        rows += [run("SRigL without ablation", 0.1, seed, 0.95, 10)]
        for density in (0.05, 0.01):
            rows += [run("SRigL", density, seed, 0.9 + 0.001 * seed, 7)]
            rows += [run("RigL", density, seed, 0.9, 6)]
            rows += [run("SRigL without ablation", density, seed, 0.85, 10)]
    judged = outcomes(fan_in_claims.CLAIMS, rows, fan_in_claims.place_of_run)
    assert judged["SRigL reaches RigL", "RigL"] == (9, "holds")
    # Not at 90 %, where it is ahead.
    behind = "without ablation it falls behind RigL above 90 %"
    assert judged[behind, "SRigL without ablation"] == (6, "holds")
    assert {outcome for _, outcome in judged.values()} == {"holds"}
    times = {
        f"SRigL0.1{seed}": {"condensed": 10.0, "torch_dense": 40.0, "torch_csr": 24.0}
        for seed in range(3)
    }
    text = fan_in_claims.claims(rows, times)
    assert "takes 1/3.4 | torch_dense | 4.00 \N{PLUS-MINUS SIGN} 0.00 | holds |" in text
    assert "takes 1/2.5 | torch_csr | 2.40 \N{PLUS-MINUS SIGN} 0.00 | does not" in text
    assert "takes 1/2.5 | torch_csr | - | not measured |" in fan_in_claims.claims(
        rows, {}
    )


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


@pytest.mark.parametrize(
    "study", [robustness_study, balance_study, fan_in_study, zeta_study]
)
def test_settings_say_nothing_of_the_machine(study):
    # A journal of one machine is resumed on another, whose folders differ.
    text = json.dumps(study.settings_of(study.SIZES["default"]))
    assert "data_home" not in text
    assert "/" not in text


def test_a_missing_data_set_ends_a_study_before_its_first_run(tmp_path, monkeypatch):
    others = {**zeta_study.SIZES["smoke"], "others": [["mnist", "set"]]}
    monkeypatch.setitem(zeta_study.SIZES, "smoke", others)
    words = [*TINY, "--data-home", str(tmp_path / "none"), "--out", str(tmp_path / "s")]
    with pytest.raises(DataError, match="mnist"):
        zeta_study.main(words)
    assert not (tmp_path / "s").exists()
