"""Files of torch modules."""

import datetime
import types

import numpy as np
import pytest
from hypothesis import given
from scipy import sparse
from support.network import make_data, make_model
from support.raw_rows import as_dense, problems

from truesparse.activations import ACTIVATIONS
from truesparse.condensed import CondensedMLP
from truesparse.errors import ModelFileError, UsageError
from truesparse.export import load_torch, save_torch, to_torch

torch = pytest.importorskip("torch")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.pt"


@given(problems())
def test_a_module_comes_back(tmp_path_factory, problem):
    model, how, rows = problem
    want = to_torch(model, probabilities=True, preprocessing=how)
    path = tmp_path_factory.getbasetemp() / "net.pt"
    assert save_torch(model, path, probabilities=True, preprocessing=how) == path
    got, x = load_torch(path), torch.from_numpy(as_dense(rows))
    assert torch.equal(got(x), want(x))
    assert (got.about, got.head) == (want.about, want.head)
    assert str(got) == str(want)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, path):
    model = make_model(activation=activation)
    x = torch.from_numpy(make_data(9)[0])
    assert torch.equal(load_torch(save_torch(model, path))(x), to_torch(model)(x))


def test_condensed_nets(path):
    condensed = CondensedMLP.from_model(make_model(density=0.25))
    x = torch.from_numpy(make_data(9)[0])
    got = load_torch(save_torch(condensed, path))
    assert torch.equal(got(x), to_torch(condensed)(x))


def test_torch_reads_it_without_running_code(path):
    model = make_model()
    content = torch.load(save_torch(model, path), weights_only=True)
    assert content["format"] == 1
    assert content["head"] == "identity"
    assert [each["n_out"] for each in content["layers"]] == [7, 5, 3]
    state = content["state_dict"]
    names = ("values", "col_indices", "crow_indices")
    arrays = tuple(state[f"layers.0.{name}"].numpy() for name in names)
    first = sparse.csr_array(arrays, (7, 6))
    np.testing.assert_array_equal(first.toarray(), model.to_scipy()[0].toarray().T)


def test_labels_that_are_no_plain_values_are_text(path):
    days = np.array([datetime.date(2026, 1, day) for day in (1, 2, 3)], object)
    net = types.SimpleNamespace(model_=make_model(), classes_=days)
    about = load_torch(save_torch(net, path)).about
    assert about["classes"] == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_other_files_are_refused(path, tmp_path):
    with pytest.raises(ModelFileError, match=r"cannot read torch module .*missing"):
        load_torch(tmp_path / "missing")
    path.write_bytes(b"no module")
    with pytest.raises(ModelFileError, match="cannot read torch module"):
        load_torch(path)
    torch.save({"a": 1}, path)
    with pytest.raises(ModelFileError, match="is not a file that save_torch wrote"):
        load_torch(path)
    torch.save(make_model().to_torch(), path)
    with pytest.raises(ModelFileError, match="cannot read torch module"):
        load_torch(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.update(format=2),
        lambda content: content["layers"].pop(),
        lambda content: content["layers"][0].update(activation="unheard"),
        lambda content: content["layers"][0].update(n_in=-1),
        lambda content: content["layers"][1].update(n_in=99),
        lambda content: content["state_dict"].pop("layers.1.bias"),
        lambda content: content["state_dict"]["layers.1.col_indices"].fill_(99),
        lambda content: content.update(head="unheard"),
    ],
)
def test_damaged_files_are_refused(damage, path):
    content = torch.load(save_torch(make_model(), path), weights_only=True)
    damage(content)
    torch.save(content, path)
    with pytest.raises(ModelFileError, match=str(path)):
        load_torch(path)


def test_paths_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="cannot write torch module"):
        save_torch(make_model(), tmp_path / "missing" / "net.pt")
    with pytest.raises(UsageError, match="it is a folder"):
        save_torch(make_model(), tmp_path)
    assert not list(tmp_path.iterdir())
