"""Options of truesparse.analyse: layers, scope, images, another topology."""

import json

import numpy as np
import pytest
import scipy.sparse
from support.commands import call

from truesparse import SparseMLP, datasets, save
from truesparse.analyse import main
from truesparse.analysis import PERTURBATIONS, overlap, robustness
from truesparse.plots import counts

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


def facts_of(capsys, out, *words):
    result = run(capsys, *words, "--out", out)
    assert result.code == 0, result.err
    return json.loads(out.read_text())


@pytest.mark.parametrize("layers", [None, "1", "3", "3,1", "2,2,1"])
@pytest.mark.parametrize("scope", [None, "joint", "layer"])
def test_layers_and_scope_are_those_of_the_function(
    model, path, layers, scope, tmp_path, capsys
):
    words = ["--data", "iris", "--points", "3", "--seeds", "2", "--only", "robustness"]
    how = {}
    if layers is not None:
        words += ["--layers", layers]
        how["layers"] = sorted({int(number) - 1 for number in layers.split(",")})
    if scope is not None:
        words += ["--scope", scope]
        how["scope"] = scope
    facts = facts_of(capsys, tmp_path / "a.json", path, *words)["robustness"]
    assert facts["layers"] == how.get("layers", [0, 1])
    for name, got in zip(PERTURBATIONS, facts["curves"], strict=False):
        X, y = IRIS.X_test, IRIS.y_test
        curve = robustness(model, X, y, name, fractions=3, seeds=2, **how)
        assert got == curve.to_json()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            (),
            "1 and 2, ranked together for removal, one by one for shuffling and noise",
        ),
        (("--layers", "2"), "2"),
        (("--layers", "1,2,3", "--scope", "joint"), "1, 2 and 3, ranked together"),
        (("--layers", "3,1", "--scope", "layer"), "1 and 3, ranked one by one"),
    ],
)
def test_the_table_says_what_was_perturbed(path, words, text, capsys):
    how = "--data", "iris", "--points", "2", "--seeds", "1", "--only", "robustness"
    rows = run(capsys, path, *how, *words).out.splitlines()
    [row] = [row for row in rows if "layers perturbed" in row]
    assert row.split("layers perturbed")[1].strip() == text


def test_the_read_out_is_perturbed_where_no_other_layer_is_connected(tmp_path, capsys):
    empty = scipy.sparse.csr_array((4, 3), dtype=np.float32)
    full = scipy.sparse.csr_array(np.ones((3, 3), np.float32))
    path = save(SparseMLP.from_sparse([empty, full]), tmp_path / "m.safetensors")
    words = path, "--data", "iris", "--points", "2", "--only", "robustness"
    assert "Robustness" not in run(capsys, *words).out
    assert "Robustness" in run(capsys, *words, "--layers", "2").out
    refused = run(capsys, *words, "--layers", "1")
    assert refused.code == 2
    assert "--layers: layer 1 has no connections" in refused.err


def test_the_overlap_is_that_of_the_function(model, path, tmp_path, capsys):
    other = SparseMLP([4, 16, 12, 3], density=0.2, seed=5)
    file = save(other, tmp_path / "model.safetensors", preprocessing=IRIS)
    for given in (file, tmp_path):  # a model, and the folder of a run
        words = path, "--compare", given, "--only", "structure"
        facts = facts_of(capsys, tmp_path / "a.json", *words)["overlap"]
        assert facts["with"] == str(given)
        assert facts["layers"] == overlap(model, other)
        densities = [
            [layer.connections.density for layer in each.layers]
            for each in (model, other)
        ]
        p, q = np.array(densities)
        np.testing.assert_allclose(facts["random"], p * q / (p + q - p * q))
    assert "Overlap" not in run(capsys, path, "--only", "structure").out


def test_input_maps_need_an_image(path, tmp_path, capsys):
    words = "--only", "structure"
    out = tmp_path / "a.json"
    assert "features" not in facts_of(capsys, out, path, *words)  # 4 features
    assert "Input maps" not in run(capsys, path, *words).out
    facts = facts_of(capsys, out, path, *words, "--shape", "2,2")["features"]
    assert facts["image_shape"] == [2, 2]
    square = SparseMLP([36, 16, 3], density=0.4, seed=1)
    file = save(square, tmp_path / "square.safetensors")
    facts = facts_of(capsys, out, file, *words)["features"]
    connections = square.layers[0].connections
    assert facts["image_shape"] == [6, 6]
    assert facts["degrees"] == counts.out_degrees(connections).tolist()
    assert facts["strengths"] == counts.out_strengths(connections).tolist()
    page = tmp_path / "a.html"
    assert run(capsys, file, *words, "--shape", "3,4,3", "--out", page).code == 0
    section = page.read_text().split("<h2>Input maps</h2>")[1].split("</section>")[0]
    assert section.count("<img") == 6
    assert "3 x 4 x 3, 36 features" in section
    assert "channel 3" in section


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--layers", "0"), 2, "--layers must be a whole number from 1 to 3, got 0"),
        (("--layers", "1,4"), 2, "--layers must be a whole number from 1 to 3, got 4"),
        (("--layers", "one"), 2, "--layers: must be whole numbers separated by commas"),
        (("--layers", ""), 2, "--layers: must be whole numbers separated by commas"),
        (("--scope", "Layer"), 2, "unknown scope 'Layer'; use one of joint, layer"),
        (("--shape", "2,3"), 2, "a product of 4, the number of features"),
        (("--shape", "4"), 2, "--shape must be H,W or H,W,C"),
        (("--shape", "-2,-2"), 2, "--shape"),
        (("--shape", "2,2,x"), 2, "--shape: must be whole numbers"),
        (("--compare", "none.safetensors"), 6, "none.safetensors"),
    ],
)
def test_what_does_not_suit_is_refused_before_anything_is_measured(
    path, words, code, message, capsys
):
    result = run(capsys, path, *words)
    assert result.code == code, result.err
    assert message in result.err
    assert result.out == ""
    assert "measuring" not in result.err


def test_images_have_few_channels(tmp_path, capsys):
    file = save(SparseMLP([34, 5, 3]), tmp_path / "m.safetensors")
    result = run(capsys, file, "--shape", "1,2,17")
    assert result.code == 2
    assert "at most 16 channels" in result.err


def test_topologies_of_other_sizes_are_refused(path, tmp_path, capsys):
    other = save(SparseMLP([4, 5, 3]), tmp_path / "m.safetensors")
    result = run(capsys, path, "--compare", other)
    assert result.code == 2
    assert "4 - 16 - 12 - 3" in result.err
    assert "4 - 5 - 3" in result.err
