"""The benchmark programs run, count what they say they count, and fill documents."""

import doctest
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import (
    accuracy,
    markdown,
    nets,
    options,
    picture_choice,
    probe,
    report,
    scale,
    setups,
    step,
    stored,
    subnormal,
    tables,
    tables_methods,
)
from benchmarks.harness import WorkerError
from benchmarks.nets import CASES, SMOKE_CASES
from benchmarks.options import names, numbers
from benchmarks.peers import NetSpec
from benchmarks.stored import ROOT
from truesparse.errors import UsageError

TINY = SMOKE_CASES["tinyb2"]
MACHINE = {"cpu": "a processor", "usable_cores": 2}
HEADER = {"date": "2026-11-20T10:00:00+00:00", "commit": "abc", "machine": MACHINE}


def test_nets_have_the_weights_they_are_known_for():
    counts = {key: case.net.nnz for key, case in CASES.items()}
    assert counts["1000"] == 125_680
    assert counts["4000"] == 501_440
    assert counts["32768"] == pytest.approx(18.7e6, rel=1e-3)
    assert CASES["300000b2"].title == "3312-300000x3-5, eps 10, batch 2"


def test_operations_are_those_of_the_three_products():
    n, batch = (7, 5, 3), 4
    shapes = [(7, 5), (5, 3)]
    products = sum(3 * a * b * batch for a, b in shapes) - 7 * 5 * batch
    got = nets.step_flops(nnz=7 * 5 + 5 * 3, nnz_first=7 * 5, batch=batch)
    assert got == 2 * products
    case = nets.Case("a", NetSpec(n, 100), batch)
    moved = 28 * (7 * 5 + 5 * 3) + 4 * batch * sum(n)
    assert nets.bound_seconds(case, 1e12, 1.0) == pytest.approx(moved * 1e-9)
    assert nets.bound_seconds(case, 1.0, 1e12) == pytest.approx(got * 1e-9)


def test_targets_are_met_missed_or_not_measured():
    more, less = nets.at_least("a", 2, "2"), nets.at_most("a", 2, "2")
    assert [more.met(value) for value in (1, 2, 3)] == [False, True, True]
    assert [less.met(value) for value in (1, 2, 3)] == [True, True, False]
    assert more.met(None) is None
    assert more.met(math.nan) is None


def test_lists_on_the_command_line():
    assert names("b,a", "ab", "letter") == ["b", "a"]
    assert names("", "ab", "letter") == []
    assert names(None, "ab", "letter") == ["a", "b"]
    assert numbers("1,2.5", "--x") == [1, 2.5]
    with pytest.raises(UsageError, match="letter"):
        names("c", "ab", "letter")
    for wrong in ("", "a", "1,-2", "nan"):
        with pytest.raises(UsageError, match="--x"):
            numbers(wrong, "--x")


@pytest.fixture(scope="module")
def step_results(tmp_path_factory):
    """Return what a small run of the step benchmark wrote."""
    path = tmp_path_factory.mktemp("step") / "step.json"
    flags = "--smoke --nets tinyb2 --peers scipy_csr,sklearn_mlp --max-bytes 1000"
    flags += f" --repeats 1 --seconds 0.001 --out {path}"
    assert step.main(flags.split()) == 0
    return json.loads(path.read_text())


def test_step_reports_every_figure(step_results):
    [case] = step_results["cases"]
    rows = {row["name"]: row for row in case["rows"]}
    assert rows.keys() == {"truesparse", "scipy_csr"}
    rounded = case["rounded"]
    assert rounded["name"] == "truesparse_bfloat16"
    assert rounded["loss"] == pytest.approx(rows["truesparse"]["loss"], rel=0.02)
    assert rounded["loss"] != rows["truesparse"]["loss"]
    assert "GB" in case["refused"]["sklearn_mlp"]
    assert case["losses_agree"]
    ours, result = rows["truesparse"], case["figures"]
    assert ours["q1_ms"] <= ours["ms"] <= ours["q3_ms"]
    assert ours["ns"] == pytest.approx(ours["ms"] * 1e6 / (TINY.net.nnz * TINY.batch))
    flops = nets.step_flops(TINY.net.nnz, TINY.net.layer_nnz[0], TINY.batch)
    assert ours["gflops"] == pytest.approx(flops / ours["ms"] * 1e-6)
    ratio = rows["scipy_csr"]["ms"] / ours["ms"]
    assert result["vs_fastest_peer"] == result["vs_scipy_csr"] == pytest.approx(ratio)
    ratio = rows["scipy_csr"]["ms"] / rounded["ms"]
    assert result["bfloat16_vs_fastest_peer"] == pytest.approx(ratio)
    assert result["of_bound"] == pytest.approx(result["bound_ms"] / result["ms"])
    # Batch 2 scatters in every layer: index, value and momentum, no column view.
    assert result["bytes_sgd"] == 12
    assert result["bytes_adam"] == 16
    assert result["bytes_sgd_all"] > 12
    for key in ("init_s", "update_s", "warm_s"):
        assert result[key] > 0
    verdicts = {t["figure"]: t["met"] for t in case["targets"]}
    assert verdicts.keys() == {"ms", nets.ROUNDED, "bytes_sgd", "bytes_adam"}
    assert verdicts["bytes_sgd"] is True


def test_step_results_fill_the_tables(step_results, tmp_path):
    (tmp_path / "step.json").write_text(json.dumps(step_results))
    results = stored.Results(tmp_path)
    for name in ("step", "peers", "targets", "memory"):
        text = report.table(name, results)
        assert TINY.title in text
        assert "smoke" in text
    assert "scikit-learn: dense arrays need" in report.table("peers", results)
    assert "the same, activations in bfloat16 |" in report.table("step", results)
    # Files of former programs have no such row.
    del step_results["cases"][0]["rounded"]
    (tmp_path / "step.json").write_text(json.dumps(step_results))
    assert "bfloat16 |" not in report.table("step", results)


def test_different_losses_are_noticed():
    rows = [{"name": "truesparse", "nnz": 5, "loss": 1.0}]
    assert step.losses_agree([*rows, {"name": "a", "nnz": 5, "loss": 1.0001}])
    assert not step.losses_agree([*rows, {"name": "a", "nnz": 5, "loss": 1.1}])
    assert step.losses_agree([*rows, {"name": "dense", "nnz": 9, "loss": 1.1}])


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        (step, "--nets 1001"),
        (step, "--peers torch"),
        (scale, "--parts tables"),
        (scale, "--neurons many"),
        (accuracy, "--methods sett"),
        (accuracy, "--seeds 0"),
        (accuracy, "--regrow-init zeros"),
    ],
)
def test_unknown_names_are_usage_errors(program, flags, capsys):
    assert program.main(flags.split()) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_scale_measures_growth_and_help(tmp_path):
    path = tmp_path / "scale.json"
    flags = "--smoke --parts table,help,refusal --epsilons 3 --neurons 100,200 "
    flags += f"--out {path}"
    assert scale.main(flags.split()) == 0
    result = json.loads(path.read_text())
    assert [row["neurons"] for row in result["table"]] == [100, 200]
    for row in result["table"]:
        assert row["nnz"] == NetSpec(tuple(row["sizes"]), 3).nnz
        assert row["peak_update_mb"] >= row["peak_step_mb"] > 1
    assert 0 < result["refusal"]["minimum_s"] <= result["refusal"]["median_s"]
    results = stored.Results(tmp_path)
    assert "| 200 | 3 |" in report.table("scale", results)
    assert "python -m benchmarks.scale" in report.table("main_job", results)


def test_large_nets_are_measured_only_when_asked_for(tmp_path):
    assert "large" not in scale.parse([]).parts
    assert scale.parse(["--large", "100,200"]).large == [100, 200]
    path = tmp_path / "scale.json"
    flags = f"--smoke --parts large --large 1000 --out {path}"
    assert scale.main(flags.split()) == 0
    (row,) = json.loads(path.read_text())["large"]
    assert row["neurons"] == 1000
    assert 0.5 * row["peak_rss_mb"] < row["estimate_mb"] < 2 * row["peak_rss_mb"]
    # 15 steps of 8 samples an epoch.
    per_sample = row["ns_weight_sample"] * row["nnz"] * 1e-9
    assert row["step_s"] == pytest.approx(8 * per_sample)
    assert row["step_s"] < row["seconds_per_epoch"] / 15
    assert 0 < row["update_s"] < row["wall_s"]
    assert scale.parse(["--parts", "large"]).out.name == "scale.json"
    large = scale.parse(["--parts", "large", "--large", "1000"])
    assert large.out.name == "scale_large.json"


def test_the_largest_nets_have_bounds(tmp_path):
    results = stored.Results(tmp_path)
    missing = report.table("large", results)
    assert "python -m benchmarks.scale --parts large --large 10000000," in missing
    common = {"nnz": 1, "step_s": 1.0, "update_s": 1.0, "wall_s": 100.0}
    common["estimate_mb"] = 100.0
    jobs = [
        common | {"neurons": n * 10**8, "ns_weight_sample": ns, "peak_rss_mb": peak}
        for n, ns, peak in ((1, 1.79, 25e3), (1, 1.81, 12e3), (2, 2.0, 24.1e3))
    ]
    stored.write_results(tmp_path / "scale_large.json", {"large": jobs})
    ends = [
        line.rsplit(" | ", 1)[1]
        for line in report.table("large", results).splitlines()
        if line.startswith(("| 1", "| 2"))
    ]
    assert ends == [
        "at most 1.8 ns: met |",
        "at most 1.8 ns: **missed** |",
        "at most 24 GB: **missed** |",
    ]


def test_first_step_of_the_command_line(tmp_path):
    flags = f"--neurons=50 --epochs=1 --out={tmp_path / 'run'}"
    result = probe.probe("first-step", "--", *flags.split())
    assert result["seconds"] > 0


def test_a_probe_that_fails_says_why():
    with pytest.raises(WorkerError, match=r"exit code 2: .*nothing"):
        probe.probe("nothing")


def test_peak_memory_is_that_of_the_process_alone():
    size = 4 * 10**8
    np.ones(size, np.uint8)
    code = "from benchmarks.probe import peak_rss_mb; print(peak_rss_mb())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True
    )
    assert 1 < float(done.stdout) < size / 1e6


@pytest.mark.compiled
def test_subnormal_cases_run():
    for settings in subnormal.CASES.values():
        assert subnormal.step_ms(*settings, seconds=0) > 0


def test_flushing_cannot_be_left_out_of_kernels_that_exist():
    with pytest.raises(RuntimeError, match="imported already"):
        subnormal.keep_subnormals()


def test_the_main_job_has_bounds(tmp_path):
    job = {"flags": [], "neurons": 9, "nnz": 9, "epochs": 1, "seconds_per_epoch": 1.0}
    job |= {"test_score": 0.97, "wall_s": 180.0, "peak_rss_mb": 2999, "dense_mb": 1}
    (tmp_path / "scale.json").write_text(json.dumps(HEADER | {"main_job": job}))
    text = report.table("main_job", stored.Results(tmp_path))
    assert "| 0.9700 | at least 0.97 | met |" in text
    assert "| 180 | under 180 | **missed** |" in text
    assert "| 3.00 GB | under 3 GB | met |" in text


@pytest.fixture
def results(tmp_path):
    """Return a folder of results with the second part of the scale benchmark only."""
    cases = {"normal": {"flushed_ms": 1.0, "kept_ms": 1.0, "slowdown": 1.0}}
    cases["deltas"] = {"flushed_ms": 1.0, "kept_ms": 2.5, "slowdown": 2.5}
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "scale.json").write_text(json.dumps(HEADER | {"subnormal": cases}))
    return folder


def document(tmp_path, text):
    path = tmp_path / "document.md"
    path.write_text(text)
    return path


def test_report_fills_and_checks_a_document(results, tmp_path, capsys):
    block = "<!-- benchmark:subnormal -->\n{}<!-- /benchmark -->\n"
    path = document(tmp_path, "before\n" + block.format("old\n") + "after\n")
    flags = [str(path), "--results", str(results)]
    assert report.main([*flags, "--check"]) == 1
    assert "subnormal stale" in capsys.readouterr().out
    assert "old" in path.read_text()
    assert report.main(flags) == 0
    table = (
        "| subnormal | flushed, ms a step | kept, ms a step | kept is slower by |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| none | 1.00 | 1.00 | 1.00x |\n"
        "| deltas, gradients, momentum | 1.00 | 2.50 | 2.50x |\n\n"
        "a processor, 2 cores; 2026-11-20, commit abc."
    )
    want = "before\n" + block.format(f"\n{table}\n\n") + "after\n"
    assert path.read_text() == want
    assert report.main([*flags, "--check"]) == 0
    (results / "scale.json").unlink()
    assert report.main([*flags, "--check"]) == 1


def test_report_says_what_to_run(results, tmp_path):
    text, _ = report.render(
        "<!-- benchmark:step -->\n<!-- /benchmark -->", stored.Results(results)
    )
    assert "*Not measured with the present code: `python -m benchmarks.step`.*" in text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<!-- benchmark:stepp -->\n<!-- /benchmark -->", 2),
        ("<!-- benchmark:step -->\n", 4),
        ("<!-- /benchmark -->\n", 4),
        ("<!-- benchmark:step -->\n<!-- benchmark:step -->\n<!-- /benchmark -->", 4),
    ],
)
def test_report_refuses_markers_it_does_not_understand(text, code, results, tmp_path):
    path = document(tmp_path, text)
    assert report.main([str(path), "--results", str(results)]) == code
    assert path.read_text() == text


def test_report_refuses_results_it_does_not_understand(results, tmp_path, capsys):
    path = document(tmp_path, "<!-- benchmark:scale -->\n<!-- /benchmark -->")
    flags = [str(path), "--results", str(results)]
    (results / "scale.json").write_text(json.dumps(HEADER | {"table": [{"eps": 5}]}))
    assert report.main(flags) == 4
    assert "another version" in capsys.readouterr().err
    (results / "scale.json").write_text("{")
    assert report.main(flags) == 4
    assert report.main([str(tmp_path / "absent.md")]) == 4


@pytest.mark.parametrize(
    ("page", "names"),
    [("RESULTS.md", tables.TABLES), ("METHODS.md", tables.METHOD_TABLES)],
)
def test_a_page_shows_every_table_as_it_is(page, names):
    path = ROOT / "benchmarks" / page
    text = path.read_text(encoding="utf-8")
    for name in names:
        assert f"<!-- benchmark:{name} -->" in text
    assert report.main([str(path), "--check"]) == 0


def test_sizes_and_counts_are_readable():
    assert [markdown.size(n) for n in (999, 1.5e9, 2e15)] == [
        "999 B",
        "1.50 GB",
        "2,000 TB",
    ]
    assert markdown.digits(None) == "-"
    assert markdown.digits(0) == "0"


@pytest.mark.parametrize(
    "module",
    [
        *(markdown, nets, options, picture_choice, setups, step, stored),
        tables_methods,
    ],
)
def test_examples_run(module):
    failed, attempted = doctest.testmod(module)
    assert attempted
    assert not failed
