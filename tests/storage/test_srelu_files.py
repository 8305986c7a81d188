"""S-shaped rectified linear units in files, snapshots and condensed models."""

import json

import numpy as np
import pytest
from support import naive, tensor_files
from support.compare import assert_close
from support.network import make_data, make_model, make_twin
from support.srelu import shapes, units
from support.strategies import DTYPES, layer, make_connections, to_dense

from truesparse.activations import LayerActivation
from truesparse.condensed import CondensedMLP
from truesparse.errors import ModelFileError, UsageError
from truesparse.sparse.condensing import condense
from truesparse.storage import models
from truesparse.training.snapshot import Snapshot, has_finite_weights

BOTH = pytest.mark.parametrize("dtype", DTYPES)

# Files -------------------------------------------------------------------------------


def trained(**settings):
    return make_model(**{"activation": "srelu", "dropout": 0.2} | settings)


def contents(path, key="truesparse"):
    tensors, metadata = tensor_files.read(path)
    return tensors, {key: metadata[key]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_bit_for_bit(dtype, tmp_path):
    model = trained(dtype=dtype)
    path = models.save(model, tmp_path / "m")
    again = models.load(path)
    for ours, theirs in zip(again.layers, model.layers, strict=True):
        assert ours.activation == theirs.activation
        arrays = ours.neuron_parameters(), theirs.neuron_parameters()
        for got, want in zip(*arrays, strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
    assert path.read_bytes() == models.save(again, tmp_path / "again").read_bytes()
    x = make_data(3)[0]
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    tensors, _ = contents(path)
    assert [name for name in tensors if name.endswith("activation")] == [
        "layers.0.activation",
        "layers.1.activation",
    ]
    relu, _ = contents(models.save(trained(activation="relu"), tmp_path / "relu"))
    assert not any(name.endswith("activation") for name in relu)


def poke(value):
    def change(array):
        array[2, 1] = value
        return array

    return change


CHANGES = {
    "none": None,
    "NaN": poke(np.nan),
    "infinite": poke(np.inf),
    "a neuron less": lambda a: a[:, :-1],
    "a row less": lambda a: a[:-1],
    "flat": lambda a: a.reshape(-1),
    "turned": lambda a: a.T,
    "other number": lambda a: a.astype(np.float32),
    "whole numbers": lambda a: a.astype(np.int64),
}


@pytest.mark.parametrize("is_condensed", [False, True])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_damaged_file_is_refused(change, is_condensed, tmp_path):
    model, path, key = trained(), tmp_path / "m", "truesparse"
    if is_condensed:
        key = "truesparse-condensed"
        CondensedMLP.from_model(model).save(path)
    else:
        models.save(model, path)
    tensors, metadata = contents(path, key)
    name = "layers.1.activation"
    damaged = tensors.pop(name)
    if change is not None:
        tensors[name] = np.ascontiguousarray(change(damaged))
    tensor_files.write(path, tensors, metadata)
    with pytest.raises(ModelFileError, match="is not valid") as caught:
        (CondensedMLP if is_condensed else models).load(path)
    assert str(path) in str(caught.value)


def test_an_activation_that_is_not_what_the_arrays_say(tmp_path):
    for name, other in (("relu", "srelu"), ("srelu", "relu")):
        path = models.save(trained(activation=name), tmp_path / name)
        tensors, metadata = contents(path)
        description = json.loads(metadata["truesparse"])
        description["layers"][0]["activation"] = other
        metadata = {"truesparse": json.dumps(description)}
        tensor_files.write(path, tensors, metadata)
        if other == "srelu":
            with pytest.raises(
                ModelFileError, match=r"no tensor layers\.0\.activation"
            ):
                models.load(path)
        else:
            # Tensors that nobody asks for are not looked at, here as elsewhere.
            assert models.load(path).layers[0].srelu is None


def test_snapshots_know_the_parameters(tmp_path):
    model = trained()
    want = [each.copy() for each in shapes(model)]
    taken = Snapshot(model, tmp_path / "m")
    taken._cost = 0.0
    for value in (np.nan, np.inf):
        model.layers[1].srelu.values[2, 3] = value
        assert not has_finite_weights(model)
        taken.take(model)
    model.layers[0].srelu.values[:] = 7.0
    taken.restore(model)
    assert has_finite_weights(model)
    for got, old in zip(shapes(model), want, strict=True):
        np.testing.assert_array_equal(got, old)


# Condensed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init_topology", "density"),
    # So thin that some neurons of the second are constant.
    [("constant_fan_in", 0.1), ("erdos_renyi", 0.06)],
)
@BOTH
def test_a_condensed_model_predicts_as_the_model_does(
    dtype, init_topology, density, tmp_path
):
    settings = {"density": density, "init_topology": init_topology, "dtype": dtype}
    model = make_model((20, 35, 40, 3), activation="srelu", **settings)
    fast = CondensedMLP.from_model(model)
    n_active = sum(each.n_active for each in fast.layers[:2])
    assert (n_active < 75) == (init_topology == "erdos_renyi")
    again = CondensedMLP.load(fast.save(tmp_path / "m"))
    x = np.random.default_rng(0).standard_normal((19, 20)).astype(dtype)
    want = make_twin(model).outputs(x.T)[0][-1].T
    for batch_size in (1, 16):
        got = fast.decision_function(x, batch_size)
        assert_close(got, want, 30.0)
        np.testing.assert_array_equal(again.decision_function(x, batch_size), got)
    for each, other in zip(again.layers[:2], fast.layers, strict=False):
        np.testing.assert_array_equal(each.srelu.values, other.srelu.values)


@BOTH
def test_a_condensed_layer(dtype):
    mask = np.zeros((5, 20), bool)
    mask[1:3, ::2] = True
    subject = layer(make_connections(mask, dtype), "srelu")
    subject.srelu.values[:] = units(20).values
    parts = subject.connections, subject.bias, subject.activation
    got = condense(*parts, subject.srelu.values)
    x = np.random.default_rng(2).standard_normal(5).astype(dtype)
    z = naive.forward(to_dense(subject.connections), subject.bias, x[:, None])
    want = naive.activation("srelu", z, subject.srelu.values)
    assert_close(got.forward(x), want[::2, 0], 10.0)
    with pytest.raises(UsageError, match="got none for 'srelu'"):
        condense(*parts)
    with pytest.raises(UsageError, match="got some for 'relu'"):
        condense(*parts[:2], LayerActivation("relu"), subject.srelu.values)
    with pytest.raises(UsageError, match=r"of shape \(4, 20\), got .* \(3, 20\)"):
        subject.srelu.adopt(subject.srelu.values[:3])
