"""What steps, evaluation and layers refuse, as kernels could not check it."""

import numpy as np
import pytest
from scipy import sparse
from support.network import SIZES, as_csr, make_data, make_model
from support.strategies import layer, make_connections

from truesparse.errors import DataError, UsageError
from truesparse.network.inputs import as_source_data
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer

SGD, MOMENTUM, ADAM = Optimizer("sgd", 0.0), Optimizer("sgd", 0.9), Optimizer("adam")
LAST = SIZES[-1] - 1


def step(
    model=None, x=None, targets=None, samples=(0, 1, 2), optimizer=MOMENTUM, **more
):
    """Take a step on data that fit, but for what is given."""
    data = make_data(12)
    model = model or prepared()
    x = data[0] if x is None else x
    targets = data[1] if targets is None else targets
    return model.train_batch(x, targets, np.asarray(samples), optimizer, 0.1, **more)


def prepared(batch_size=3, optimizer=MOMENTUM, **settings):
    model = make_model(**settings)
    model.allocate_moments(optimizer)
    model.prepare(batch_size)
    return model


def test_a_step_that_fits():
    assert np.isfinite(step())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "1 to 3 samples, the batch size given to `prepare`, got 0"),
        ([0, 1, 2, 3], "1 to 3 samples, the batch size given to `prepare`, got 4"),
        ([0, -1], "samples must be numbers from 0 to 11"),
        ([0, 12], "samples must be numbers from 0 to 11"),
        (np.array([0, 1], np.int32), "contiguous vector of int64"),
        (np.arange(6)[::2], "contiguous vector of int64"),
        (np.arange(2).reshape(1, 2), "contiguous vector of int64"),
        ([0.0, 1.0], "contiguous vector of int64"),
    ],
)
def test_samples(samples, message):
    with pytest.raises(UsageError, match=message):
        step(samples=np.asarray(samples, None if len(samples) else np.int64))


@pytest.mark.parametrize(
    "form", ["narrow", "other dtype", "Fortran", "strided", "list"]
)
def test_data(form):
    x = make_data(12)[0]
    x = {
        "narrow": x[:, :-1].copy(),
        "other dtype": x.astype(np.float32),
        "Fortran": np.asfortranarray(x),
        "strided": x[::-1],
        "list": x.tolist(),
    }[form]
    with pytest.raises(UsageError, match="data must be float64 with 6 features"):
        step(x=x)


def broken(name, value):
    """Return sparse data of 12 samples with one array replaced or one entry changed."""
    data = as_csr(make_data(12)[0])
    array = getattr(data, name).copy()
    if isinstance(value, tuple):
        array[value[0]] = value[1]
    else:
        array = array.astype(value)
    return data._replace(**{name: array})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("indices", (3, SIZES[0])),
        ("indices", (0, -1)),
        ("indices", np.int64),
        ("indptr", (1, 99)),
        ("indptr", (0, 1)),
        ("indptr", (-1, 10**6)),
        ("indptr", np.int32),
        ("values", np.float32),
    ],
)
def test_sparse_data(name, value):
    model, bad = prepared(), broken(name, value)
    good = as_csr(make_data(12)[0])
    model.prepare(3, good)
    with pytest.raises(UsageError, match="the form that as_source_data returns"):
        step(model, bad)
    with pytest.raises(UsageError, match="the form that as_source_data returns"):
        model.decision_function(bad)
    assert np.isfinite(step(model, good))


@pytest.mark.parametrize("is_sparse", [False, True])
def test_data_of_the_other_kind(is_sparse):
    x = make_data(12)[0]
    dense, thin = x, as_csr(x)
    model = prepared()
    model.prepare(3, thin if is_sparse else dense)
    kind = "sparse" if is_sparse else "dense"
    message = f"data must be {kind}, for which `prepare` allocated the buffers"
    with pytest.raises(UsageError, match=message):
        step(model, dense if is_sparse else thin)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(11), "must have shape \\(12,\\), got \\(11,\\)"),
        (np.full(12, np.nan), "must be finite"),
        (-np.ones(12), "must be finite, not negative"),
        (np.ones(12, np.float32), "must be a float64 array"),
    ],
)
def test_sample_weights(weights, message):
    with pytest.raises((UsageError, DataError), match=message):
        step(sample_weight=weights)


def test_more_non_zeros_than_any_batch_of_distinct_samples_has():
    x = sparse.csr_array(np.diag(np.arange(1.0, SIZES[0] + 1)))
    x = sparse.csr_array(sparse.vstack([x[:1] * 0, sparse.csr_array(x.sum(0)[None])]))
    source = as_source_data(x, np.float64, SIZES[0])
    model = prepared()
    model.prepare(2, source)
    targets = np.zeros(2, np.int32)
    with pytest.raises(UsageError, match="more than the"):
        step(model, source, targets, [1, 1])


@pytest.mark.parametrize("label", [-1, LAST + 1, 2**31 - 1])
def test_labels_beyond_the_outputs(label):
    targets = np.zeros(12, np.int32)
    targets[1] = label
    with pytest.raises(UsageError, match=f"labels must be from 0 to {LAST}"):
        step(targets=targets)


@pytest.mark.parametrize("loss", ["softmax", "squared"])
@pytest.mark.parametrize(
    "targets",
    [
        np.zeros(12),
        np.zeros(12, np.int64),
        np.zeros(11, np.int32),
        np.zeros((12, LAST)),
        np.zeros((12, LAST + 1), np.float32),
        np.zeros((11, LAST + 1)),
    ],
    ids=lambda targets: f"{targets.dtype}-{targets.shape}",
)
def test_targets(loss, targets):
    with pytest.raises(
        UsageError, match="in the form that prepare_targets returns, got"
    ):
        step(prepared(loss=loss), targets=targets)


def test_state_of_every_layer_must_be_there():
    model = prepared()
    fresh = make_model().layers[1].connections
    model.layers[1].connections.adopt(fresh)
    with pytest.raises(UsageError, match="call allocate_moments"):
        step(model)
    model = prepared()
    model.layers[2].bias_moments = model.layers[0].bias_moments
    with pytest.raises(UsageError, match="call allocate_moments"):
        step(model)


def test_state_and_buffers_must_be_there():
    with pytest.raises(UsageError, match="call allocate_moments"):
        step(prepared(optimizer=SGD))
    with pytest.raises(UsageError, match="call allocate_moments"):
        step(prepared(optimizer=MOMENTUM), optimizer=ADAM)
    assert np.isfinite(step(prepared(optimizer=MOMENTUM), optimizer=SGD))
    model = make_model()
    model.allocate_moments(MOMENTUM)
    with pytest.raises(UsageError, match="training buffers: call prepare first"):
        step(model)


def test_evaluation():
    x, labels = make_data(12)
    with pytest.raises(DataError, match="12 samples but 11 targets"):
        make_model().evaluate(x, labels[:-1])
    with pytest.raises(DataError, match=f"labels must be from 0 to {LAST}"):
        make_model().evaluate(x, labels + LAST + 1)


@pytest.mark.parametrize("activation", [("relu",), ("identity", 0.0, 0.1)])
def test_the_last_layer_is_linear(activation):
    last = layer(make_connections(np.ones((3, 2), bool)), *activation)
    with pytest.raises(UsageError, match="the last layer must have activation 'ident"):
        SparseMLP.from_layers([last])


def test_layers_share_a_dtype():
    first = layer(make_connections(np.ones((3, 2), bool), np.float32))
    second = layer(make_connections(np.ones((2, 2), bool), np.float64))
    with pytest.raises(UsageError, match="all layers must have one dtype, got"):
        SparseMLP.from_layers([first, second])
