"""Drawing all layers of a network: counts, patterns, weights, options."""

import itertools

import numpy as np
import pytest
import scipy.sparse
from support.commands import NET, SMALL, call
from support.network import mask_of
from support.training import hashes_may_wrap

from truesparse import SparseMLP
from truesparse.drawing.draw_layers import INIT_TOPOLOGIES, count_connections
from truesparse.drawing.patterns import PATTERNS
from truesparse.errors import UsageError

SIZES = (30, 40, 20, 5)
X = np.random.default_rng(0).standard_normal((50, SIZES[0]))

each_topology = pytest.mark.parametrize("init_topology", INIT_TOPOLOGIES)


def make(init_topology, **settings):
    settings = {"density": 0.2, "seed": 3} | settings
    if init_topology == "csti":
        settings["init_data"] = X
    return SparseMLP(SIZES, init_topology=init_topology, **settings)


@each_topology
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_topology_has_its_counts_and_weights(init_topology, dtype):
    model = make(init_topology, dtype=dtype)
    counts = count_connections(SIZES, init_topology, density=0.2)
    assert [layer.connections.nnz for layer in model.layers] == counts
    again, other = (make(init_topology, seed=seed) for seed in (3, 4))
    for k, layer in enumerate(model.layers):
        layer.connections.check()
        assert layer.connections.values.dtype == dtype
        assert (layer.connections.values != 0).all()
        indices = again.layers[k].connections.indices
        np.testing.assert_array_equal(layer.connections.indices, indices)
    deterministic = {"csti"}
    same = np.array_equal(
        mask_of(model.layers[0].connections), mask_of(other.layers[0].connections)
    )
    assert same == (init_topology in deterministic)


def test_counts():
    cells = [a * b for a, b in itertools.pairwise(SIZES)]
    uniform = count_connections(SIZES, "uniform", density=0.2)
    assert uniform == [round(0.2 * n) for n in cells]
    for topology in PATTERNS:
        assert count_connections(SIZES, topology, density=0.2) == uniform
        assert count_connections(SIZES, topology, epsilon=2) == [140, 120, 50]
    assert sum(count_connections(SIZES, "erk", density=0.2)) == sum(uniform)
    assert sum(count_connections(SIZES, "erk", epsilon=2)) == 310


@each_topology
def test_one_size_is_no_network(init_topology):
    with pytest.raises(UsageError, match="at least features and outputs"):
        count_connections(SIZES[:1], init_topology, density=0.2)


def test_fan_in_is_constant():
    model = make("constant_fan_in")
    for layer in model.layers:
        counts = np.bincount(layer.connections.indices)
        assert counts.max() - counts.min() <= 1


def test_csti_is_for_features_dense_or_sparse():
    dense = make("csti")
    sparse = SparseMLP(
        SIZES,
        density=0.2,
        seed=3,
        init_topology="csti",
        init_data=scipy.sparse.csr_array(X),
    )
    for one, other in zip(dense.layers, sparse.layers, strict=True):
        np.testing.assert_array_equal(
            one.connections.indices, other.connections.indices
        )


@pytest.mark.parametrize("init_topology", ["constant_fan_in", "bsw", "erdos_renyi"])
def test_patterns_take_their_share_of_one_budget(init_topology):
    options = {"distribution": "erk"}
    counts = count_connections(SIZES, init_topology, density=0.2, **options)
    assert counts == count_connections(SIZES, "erk", density=0.2)
    model = SparseMLP(
        SIZES, density=0.2, init_topology=init_topology, init_options=options
    )
    assert [layer.connections.nnz for layer in model.layers] == counts


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init_topology": "bsww"}, "unknown initial topology 'bsww'.*mean 'bsw'"),
        ({"init_topology": "csti"}, "give them as init_data"),
        ({"init_data": np.eye(3)}, "'erdos_renyi' does not look at data"),
        ({"init_topology": "uniform"}, "distribution 'uniform' needs density"),
        (
            {"init_topology": "bsw", "init_options": {"betta": 1}},
            "unknown option 'betta' of initial topology 'bsw'.*mean 'beta'",
        ),
        (
            {"init_topology": "erk", "init_options": {"beta": 1}},
            "initial topology 'erk' takes no options, got 'beta'",
        ),
        ({"init_options": {"X": X}}, "unknown option 'X' of"),
        (
            {"init_options": {"distribution": "erl"}},
            "unknown distribution of connections 'erl'",
        ),
        ({"init_topology": "brf", "init_options": {"r": 2}}, "r must be"),
    ],
)
def test_bad_topologies(settings, message):
    with pytest.raises(UsageError, match=message):
        SparseMLP(SIZES, **settings)


@hashes_may_wrap
@pytest.mark.parametrize(
    "words",
    [
        ["--init-topology", "erk"],
        ["--init-topology", "csti"],
        ["--init-topology", "bsw", "--init-arg", "beta=0.5"],
        ["--init-topology", "constant_fan_in", "--topology", "srigl"],
        ["--init-topology", "uniform", "--density", "0.3"],
    ],
)
def test_the_command_line_takes_them(words, capsys):
    result = call(capsys, *SMALL["iris"], *NET, "--json", *words)
    assert result.code == 0, result.err
    assert result.json["nnz"] > 0


def test_the_command_line_refuses_bad_ones(capsys):
    result = call(capsys, *SMALL["iris"], *NET, "--init-topology", "uniform")
    assert result.code == 2
    assert "needs density" in result.err
