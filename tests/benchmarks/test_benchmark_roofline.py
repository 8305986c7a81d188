"""The roofline benchmark counts what it says, and fills its table."""

import json

import numpy as np
import pytest
from support.strategies import layer, make_connections

from benchmarks import report, roofline, stored
from benchmarks.nets import SMOKE_CASES, step_flops
from truesparse.network.buffers import padded_columns
from truesparse.sparse.layer import scatters

TINY = SMOKE_CASES["tinyb2"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the folder with what a small run wrote."""
    folder = tmp_path_factory.mktemp("roofline")
    flags = f"--smoke --nets tinyb2 --steps 2 --out {folder / 'roofline.json'}"
    assert roofline.main(flags.split()) == 0
    return folder


def test_every_pass_is_measured(results):
    file = json.loads((results / "roofline.json").read_text())
    *passes, rest = file["rows"]
    n_layers = len(TINY.net.sizes) - 1
    names = ["forward"] * n_layers + ["backward"] * n_layers
    assert [row["pass"] for row in passes] == names
    assert rest["pass"] == "rest"
    flops = 0
    for row in passes:
        assert row["ms"] > 0
        assert row["of_bound"] > 0
        assert row["gflops"] == pytest.approx(row["flops"] / row["ms"] * 1e-6)
        assert row["gbs"] == pytest.approx(row["fetched_bytes"] / row["ms"] * 1e-6)
        flops += row["flops"]
    assert flops == step_flops(TINY.net.nnz, TINY.net.layer_nnz[0], TINY.batch)
    text = report.table("roofline", stored.Results(results))
    assert TINY.title in text
    assert "| rest |" in text


@pytest.mark.parametrize("batch", [2, 20])
def test_what_a_pass_has_to_do(batch):
    connections = make_connections(np.ones((7, 5), bool), np.float32)
    subject, (columns, _) = layer(connections), padded_columns(batch, np.float32)
    forward = roofline.work_of(subject, "forward", batch, is_first=False)
    is_scattered = scatters(7, 5, columns, 4)
    assert is_scattered == (batch == 2)
    assert forward["flops"] == 2 * 35 * batch
    assert forward["set_bytes"] == (5 if is_scattered else 7) * columns * 4
    # Scattered sums are read and written.
    assert forward["fetched_bytes"] == 35 * columns * 4 * (2 if is_scattered else 1)
    assert forward["streamed_bytes"] == 35 * (8 if is_scattered else 12)
    backward = roofline.work_of(subject, "backward", batch, is_first=False)
    assert backward["flops"] == 4 * 35 * batch
    assert backward["set_bytes"] == 5 * columns * 4
    assert backward["streamed_bytes"] == 35 * 20
    first = roofline.work_of(subject, "backward", batch, is_first=True)
    assert first["flops"] == 2 * 35 * batch


def test_smoke_runs_are_not_published():
    assert roofline.parse(["--smoke"]).out is None
    assert roofline.parse([]).out.parent == stored.RESULTS
