"""Every section of the page of truesparse.analyse: its table and its pictures."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from support.commands import call

from truesparse import SparseMLP, datasets, save
from truesparse.analyse import main
from truesparse.analysis import graph_measures, layer_ranks, overlap, structure
from truesparse.plots import counts

DIGITS = datasets.load("digits")
SIZES = [64, 30, 20, 10]
MODEL, OTHER = (SparseMLP(SIZES, density=0.3, seed=seed) for seed in (1, 2))
WORDS = "--data", "digits", "--points", "3", "--seeds", "2", "--samples", "60"
# Sections in their order, with the pictures of a net of three layers.
PICTURES = {
    "Robustness": 1,
    "Ranks": 1,
    "Structure": 2,
    "Degrees and strengths": 12,
    "Weights": 3,
    "Input maps": 2,
    "Sparsity patterns": 3,
    "Graph": 2,
    "Overlap": 1,
    "Densities in training": 1,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folders of a run and of another one."""
    folders = [tmp_path_factory.mktemp(name) for name in ("run", "other")]
    for folder, model in zip(folders, (MODEL, OTHER), strict=True):
        save(model, folder / "model.safetensors", preprocessing=DIGITS)
    events = [{"event": "run_start", "layer_sizes": SIZES}]
    update = {"event": "topology", "layer": 0, "removed": 1, "grown": 1}
    events += [{**update, "epoch": i, "nnz": 192 * i} for i in (1, 2)]
    events.append({"event": "run_end"})
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (folders[0] / "metrics.jsonl").write_text(lines)
    return folders


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    run, other = runs
    out = tmp_path_factory.mktemp("pages") / "a.html"
    words = [run, *WORDS, "--compare", other, "--out", out, "--quiet"]
    assert main([str(word) for word in words]) == 0
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sections(page):
    """Return the HTML of each section by its title."""
    parts = page.split("<section>")[1:]
    return {re.search("<h2>(.+)</h2>", part)[1]: part for part in parts}


def rows_of(section):
    cells = re.findall(r'<th scope="row">(.+?)</th><td>(.+?)</td>', section)
    return {html.unescape(name): html.unescape(text) for name, text in cells}


def wanted_rows():
    """Return a row of each section, from what the functions of analysis return."""
    connections = MODEL.layers[0].connections
    degrees = counts.out_degrees(connections)
    strengths = counts.out_strengths(connections)
    weights = connections.values
    first, random = overlap(MODEL, OTHER)[0], 0.3 / 1.7
    graph, ranks = graph_measures(MODEL)[0], layer_ranks(MODEL)[0]
    nnz = connections.nnz
    spread = f"{degrees.mean():.4g} ± {degrees.std():.3g}"
    active = " - ".join(str(n) for n in structure(MODEL).active)
    return {
        "Robustness": ("data", "digits, 60 samples"),
        "Ranks": (
            "layer 1",
            f"effective {ranks.effective:.1f}, stable {ranks.stable:.1f}, of 30",
        ),
        "Structure": ("neurons on a path", active),
        "Degrees and strengths": (
            "layer 1, out",
            f"degree {spread}, {degrees.min()} to {degrees.max()}; strength "
            f"{strengths.mean():.4g} ± {strengths.std():.3g}",
        ),
        "Weights": (
            "layer 1",
            f"mean {weights.mean():.3g}, deviation {weights.std():.3g}, from "
            f"{weights.min():.3g} to {weights.max():.3g}",
        ),
        "Input maps": (
            "connections",
            f"{spread}, from {degrees.min()} to {degrees.max()}",
        ),
        "Sparsity patterns": ("layer 1", f"{nnz} connections in 64 x 30 cells"),
        "Graph": (
            "layer 1",
            f"clustering {graph.clustering:.4g} (random {graph.random_clustering:.4g}),"
            f" path length {graph.path_length:.4g} ± {graph.path_length_error:.1g} "
            f"(random {graph.random_path_length:.4g}), modularity "
            f"{graph.modularity:.3f} in {graph.n_communities} communities, small world "
            f"{graph.small_world:.3g}",
        ),
        "Overlap": (
            "layer 1",
            f"{100 * first:.3g} %, two random layers {100 * random:.3g} %",
        ),
        "Densities in training": (
            "layer 1",
            "10 % after the first update, 20 % after the last of 2",
        ),
    }


def test_sections_are_in_their_order_and_no_text_is_cut(page, sections):
    assert list(sections) == ["Summary", *PICTURES]
    assert " ...<" not in page


@pytest.mark.parametrize("title", PICTURES)
def test_a_section_has_its_table(title, sections):
    name, text = wanted_rows()[title]
    assert rows_of(sections[title])[name] == text


@pytest.mark.parametrize("title", PICTURES)
def test_a_section_has_its_pictures(title, sections):
    pictures = re.findall(
        r'<img alt="(.+?)" width="(\d+)" height="(\d+)" '
        r'src="data:image/png;base64,(.+?)">',
        sections[title],
    )
    assert len(pictures) == PICTURES[title]
    alts, _, _, images = zip(*pictures, strict=True)
    assert len(set(alts)) == len(set(images)) == len(pictures)
    for _, width, height, data in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.size == (int(width), int(height))
        drawn = np.asarray(image.convert("RGB")).reshape(-1, 3)
        # Axes, and something in a colour.
        assert np.ptp(drawn.astype(int), axis=1).max() > 50
        assert (drawn == 255).all(axis=1).mean() > 0.2


def test_tables_are_also_printed(runs, sections, capsys):
    run, other = runs
    result = call(capsys, run, *WORDS, "--compare", other, "--quiet", main=main)
    tables = dict(table.split("\n", maxsplit=1) for table in result.out.split("\n\n"))
    assert list(tables) == list(PICTURES)
    for title, table in tables.items():
        lines = [
            re.split("  +", line.strip(), maxsplit=1) for line in table.splitlines()
        ]
        assert dict(lines) == rows_of(sections[title])
