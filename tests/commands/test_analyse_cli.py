"""truesparse.analyse: tables, JSON and a page that say what the functions measure."""

import json

import numpy as np
import pytest
import scipy.sparse
from support.commands import call

from truesparse import SparseMLP, datasets, save
from truesparse.analyse import main
from truesparse.analysis import layer_ranks, robustness, structure
from truesparse.commands.analysis_facts import Analysis, take_samples

IRIS = datasets.load("iris")


@pytest.fixture(scope="module")
def model():
    return SparseMLP([4, 16, 12, 3], density=0.4, seed=1)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / "iris.safetensors"
    return save(model, file, preprocessing=IRIS)


def run(capsys, *words):
    return call(capsys, *words, main=main)


SHORT = ("--points", "3", "--seeds", "2")


def test_json_has_what_the_functions_return(model, path, tmp_path, capsys):
    out = tmp_path / "a.json"
    result = run(capsys, path, "--data", "iris", "--out", out, *SHORT)
    assert result.code == 0, result.err
    assert result.out == f"{out}\n"
    facts = json.loads(out.read_text())
    assert facts["layer_sizes"] == [4, 16, 12, 3]
    names = [curve["perturbation"] for curve in facts["robustness"]["curves"]]
    wanted = ["weight_order", "reverse_order", "random", "shuffled", "noise"]
    assert names == [*wanted, "adversarial"]
    for name, curve in zip(wanted, facts["robustness"]["curves"], strict=False):
        got = robustness(model, IRIS.X_test, IRIS.y_test, name, fractions=3, seeds=2)
        assert curve == got.to_json()
    assert facts["robustness"]["data"] == "iris, 30 samples"
    ranks = [each._asdict() for each in layer_ranks(model)]
    assert facts["ranks"]["layers"] == ranks
    assert facts["ranks"]["sum"]["stable"] == sum(each["stable"] for each in ranks)
    assert facts["structure"]["active"] == structure(model).active
    assert facts["structure"]["layers"][0]["nnz"] == model.layers[0].connections.nnz
    assert [each["layer"] for each in facts["graph"]] == [0, 1]


def test_tables_go_to_stdout_and_remarks_to_stderr(path, capsys):
    result = run(capsys, path, "--data", "iris", *SHORT)
    assert result.code == 0, result.err
    for title in ("Robustness", "Ranks", "Structure", "Degrees", "Weights", "Graph"):
        assert title in result.out
    assert "iris, 30 samples" in result.out
    assert "perturbing connections: noise" in result.err
    quiet = run(capsys, path, "--only", "ranks", "--quiet")
    assert quiet.out.startswith("Ranks\n  layer 1  effective")
    assert quiet.err == ""


def test_without_data_there_are_no_curves_and_a_note(path, capsys):
    result = run(capsys, path)
    assert result.code == 0
    assert "Robustness" not in result.out
    assert "note: There are no robustness curves: give --data." in result.err
    assert run(capsys, path, "--quiet").err == ""


def test_data_that_are_not_needed_are_not_read_without_a_word(path, capsys):
    result = run(capsys, path, "--data", "nothing.csv", "--only", "ranks")
    assert result.code == 0
    assert "note: nothing.csv was not read: only robustness needs data." in result.err


def test_a_net_that_knows_nothing_has_no_normalised_area(tmp_path, capsys):
    net = SparseMLP([4, 8, 3], density=1.0)
    for layer in net.layers:
        layer.connections.values[:] = 0.0
    path = save(net, tmp_path / "m.safetensors", preprocessing=IRIS)
    words = ("--data", "iris", "--part", "all", "--only", "robustness")
    result = run(capsys, path, *words, *SHORT)
    assert result.code == 0, result.err
    assert "nan" not in result.out
    assert "not normalised: no better than the best constant answer" in result.out


def test_a_page_has_a_section_and_pictures_for_each_measure(path, tmp_path, capsys):
    out = tmp_path / "a.html"
    words = (path, "--data", "iris", "--out", out, "--only", "robustness,ranks")
    result = run(capsys, *words, *SHORT)
    assert result.code == 0, result.err
    page = out.read_text()
    assert page.count("<h2>") == 3  # summary, robustness, ranks
    assert page.count("data:image/png;base64,") == 2
    assert "strongest removed first" in page
    assert "<script" not in page


def test_a_run_adds_the_densities_of_its_training(model, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    save(model, folder / "model.safetensors", preprocessing=IRIS)
    events = [{"event": "run_start", "layer_sizes": [4, 16, 12, 3]}]
    for epoch, nnz in ((1, 16), (2, 32)):
        update = {"event": "topology", "epoch": epoch, "layer": 0, "nnz": nnz}
        events.append({**update, "removed": 1, "grown": 1})
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (folder / "metrics.jsonl").write_text(lines)
    assert "after the last" not in run(capsys, folder, "--only", "ranks").out
    result = run(capsys, folder, "--only", "structure")
    assert "25 % after the first update, 50 % after the last of 2" in result.out
    # Its last event is no run_end.
    note = f"the run in {folder} has not ended: this is model.safetensors, saved after"
    assert f"note: {note} step 0" in result.err
    out = tmp_path / "a.json"
    assert run(capsys, folder, "--only", "structure", "--out", out).code == 0
    assert json.loads(out.read_text())["notes"] == [f"{note} step 0"]


def test_layers_without_connections_are_left_out_with_a_note(tmp_path, capsys):
    full = scipy.sparse.csr_array(np.ones((3, 3), np.float32))
    first = scipy.sparse.csr_array(np.ones((4, 3), np.float32))
    empty = scipy.sparse.csr_array((3, 3), dtype=np.float32)
    path = save(SparseMLP.from_sparse([first, empty, full]), tmp_path / "m.safetensors")
    result = run(capsys, path, "--data", "iris", *SHORT)
    assert result.code == 0, result.err
    assert "1 of the layers before the read-out have no connections" in result.err
    assert "layer 2 " not in result.out.split("Structure")[0]


def test_a_regression_has_no_curves(tmp_path, capsys):
    model = SparseMLP([10, 8, 1], loss="squared")
    path = save(model, tmp_path / "m.safetensors")
    result = run(capsys, path, "--data", "diabetes")
    assert result.code == 0
    assert "the model is a regression. diabetes was not read." in result.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--out", "a.txt"), 2, "--out"),
        (("--out", "missing/a.json"), 2, "give a file in a folder that exists"),
        (("--only", "ranks,robust"), 2, "structure, ranks, graph, robustness"),
        (("--points", "1"), 2, "--points"),
        (("--seeds", "0"), 2, "--seeds"),
        (("--samples", "1"), 2, "--samples must be a whole number of at least 2"),
        (("--seed", "-1"), 2, "--seed"),
        (("--part", "some"), 2, "part"),
        (("--data", "digits"), 4, "4"),
        (("--data", "nothing.csv"), 4, "nothing.csv"),
    ],
)
def test_what_does_not_suit_is_refused(path, words, code, message, capsys):
    result = run(capsys, path, *words)
    assert result.code == code, result.err
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1 or "..." in result.err


def test_a_missing_model_is_reported(tmp_path, capsys):
    result = run(capsys, tmp_path / "none.safetensors")
    assert result.code == 6


def test_samples_are_drawn_without_repeats_and_in_order():
    data, targets = np.arange(20)[:, None], np.arange(20)
    some, labels = take_samples(data, targets, 7, 3)
    np.testing.assert_array_equal(some[:, 0], labels)
    assert len(set(labels)) == 7
    assert (np.diff(labels) > 0).all()
    assert take_samples(data, targets, 20, 3)[1] is targets


def test_json_replaces_numbers_that_it_lacks(model):
    analysis = Analysis("x", model, notes=["a"])
    analysis.history = None
    assert json.loads(json.dumps(analysis.to_json(), allow_nan=False))["notes"] == ["a"]
