"""Exports to scipy.sparse, and what is taken for a model."""

import sys
import types

import numpy as np
import pytest
from hypothesis import given
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support.network import make_model
from support.strategies import cases, layer, to_dense

from truesparse import SparseMLP
from truesparse.condensed import CondensedMLP
from truesparse.errors import UsageError
from truesparse.export import to_coo, to_onnx, to_scipy, to_torch
from truesparse.export.by_output import net_of


@given(cases())
def test_matrices_are_the_weights(case):
    model = SparseMLP.from_layers([layer(case.connections)], "squared")
    for matrix in (*model.to_scipy(), *model.to_coo()):
        assert matrix.shape == case.dense.shape
        assert matrix.dtype == case.dense.dtype
        assert matrix.nnz == model.nnz
        assert matrix.has_canonical_format
        np.testing.assert_array_equal(matrix.toarray(), case.dense)


@given(cases())
def test_layers_by_output_neuron_hold_the_same_weights(case):
    model = SparseMLP.from_layers([layer(case.connections)], "squared")
    (by_output,) = net_of(model).layers()
    got = np.zeros((by_output.n_in, by_output.n_out))
    columns = np.repeat(np.arange(by_output.n_out), np.diff(by_output.indptr))
    got[by_output.inputs, columns] = by_output.weights
    np.testing.assert_array_equal(got, case.dense)


def test_matrices_are_float32_where_the_model_is():
    model = make_model(dtype="float32")
    assert {matrix.dtype for matrix in to_scipy(model)} == {np.dtype(np.float32)}
    assert {matrix.dtype for matrix in to_coo(model)} == {np.dtype(np.float32)}
    assert {matrix.row.dtype for matrix in to_coo(model)} == {np.dtype(np.int32)}


def test_exports_are_copies_unless_asked_otherwise():
    model = make_model()
    before = [to_dense(each.connections) for each in model.layers]
    copied, coordinates = to_scipy(model), to_coo(model)
    shared = to_scipy(model, copy=False)
    for each in model.layers:
        each.connections.values *= 2.0
    for matrix, other, dense in zip(copied, coordinates, before, strict=True):
        np.testing.assert_array_equal(matrix.toarray(), dense)
        np.testing.assert_array_equal(other.toarray(), dense)
    for matrix, dense in zip(shared, before, strict=True):
        np.testing.assert_array_equal(matrix.toarray(), 2.0 * dense)


def test_connections_of_weight_zero_are_exported():
    model = make_model()
    model.layers[0].connections.values[::2] = 0.0
    assert to_scipy(model)[0].nnz == to_coo(model)[0].nnz
    assert to_scipy(model)[0].nnz == model.layers[0].connections.nnz


# What is taken for a model -----------------------------------------------------------


@pytest.fixture
def estimator():
    return types.SimpleNamespace(model_=make_model(), classes_=["a", "b", "c"])


def test_a_fitted_estimator_stands_for_its_model(estimator):
    expected = to_scipy(estimator.model_)
    for got, matrix in zip(to_scipy(estimator), expected, strict=True):
        np.testing.assert_array_equal(got.toarray(), matrix.toarray())
    assert net_of(estimator).classes.tolist() == ["a", "b", "c"]
    assert net_of(estimator.model_).classes is None


class Unfitted:
    """An estimator before `fit`."""

    def fit(self):
        raise AssertionError


@pytest.mark.parametrize("export", [to_scipy, to_coo, to_onnx])
@pytest.mark.parametrize("given", [Unfitted(), 3, None, "model", np.ones((2, 2))])
def test_other_things_are_refused(export, given, tmp_path):
    path = (tmp_path / "net.onnx",) if export is to_onnx else ()
    with pytest.raises(UsageError, match=type(given).__name__) as error:
        export(given, *path)
    assert ("fit it first" in str(error.value)) == isinstance(given, Unfitted)
    assert list(tmp_path.iterdir()) == []


def test_of_a_pipeline_the_estimator_is_asked_for(tmp_path):
    with pytest.raises(UsageError, match=r"got Pipeline; .* the estimator in it"):
        to_onnx(make_pipeline(StandardScaler(), Unfitted()), tmp_path / "net.onnx")


@pytest.mark.parametrize("export", [to_scipy, to_coo])
def test_a_condensed_net_has_no_matrices_of_all_neurons(export):
    with pytest.raises(UsageError, match="CondensedMLP"):
        export(CondensedMLP.from_model(make_model()))


def test_copy_is_true_or_false():
    with pytest.raises(UsageError, match="copy"):
        to_scipy(make_model(), copy="no")


@pytest.mark.parametrize(("name", "export"), [("onnx", to_onnx), ("torch", to_torch)])
def test_a_missing_library_is_named_with_its_extra(name, export, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    path = (tmp_path / "net.onnx",) if export is to_onnx else ()
    with pytest.raises(UsageError, match=rf"pip install 'truesparse\[{name}\]'"):
        export(make_model(activation="relu"), *path)
    assert list(tmp_path.iterdir()) == []
