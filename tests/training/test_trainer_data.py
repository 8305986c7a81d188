"""What the trainer is given: validation data, sample weights, sparse and bad data."""

import numpy as np
import pytest
from scipy import sparse
from support.network import as_csr
from support.training import (
    BATCH,
    SIZES,
    N,
    Recorder,
    arrays_of,
    assert_same_arrays,
    make_model,
    make_problem,
    make_trainer,
)

from truesparse.common import rng
from truesparse.errors import DataError, UsageError
from truesparse.network.inputs import as_source_data, take_samples
from truesparse.training.fit_data import set_aside

X, Y = make_problem()


def sparse_problem():
    """Return thin data, dense and as CSR."""
    x = X * (np.random.default_rng(2).random(X.shape) < 0.4)
    return x.astype(np.float32), sparse.csr_array(x.astype(np.float32))


# Validation --------------------------------------------------------------------------


def test_validation_data_are_evaluated_after_every_epoch():
    model, recorder = make_model(), Recorder()
    evaluated = []
    evaluate = model.evaluate

    def note(*arguments):
        evaluated.append(recorder.names()[-1])
        return evaluate(*arguments)

    model.evaluate = note
    trainer = make_trainer(model, callbacks=[recorder])
    history = trainer.fit(X[:60], Y[:60], X_val=X[60:], y_val=Y[60:])
    assert evaluated == ["batch_end"] * 3
    assert history[-1].val_loss == evaluate(X[60:], Y[60:].astype(np.int32))[0]
    # Validation changes nothing.
    plain = make_model()
    make_trainer(plain).fit(X[:60], Y[:60])
    assert_same_arrays(model, plain)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_share_of_the_data_is_set_aside(is_sparse):
    dense, thin = sparse_problem()
    data = thin if is_sparse else dense
    model = make_model(seed=5)
    history = make_trainer(model).fit(data, Y, validation_fraction=0.3)
    order = rng.stream(5, rng.Purpose.SPLIT).permutation(N)
    held_out, train = np.sort(order[:21]), np.sort(order[21:])
    want = model.evaluate(data[held_out], Y[held_out].astype(np.int32))
    assert (history[-1].val_loss, history[-1].val_score) == want
    assert history[0].step == 2
    explicit = make_model(seed=5)
    make_trainer(explicit, shuffle=False).fit(data[train], Y[train])
    unshuffled = make_model(seed=5)
    make_trainer(unshuffled, shuffle=False).fit(data, Y, validation_fraction=0.3)
    assert_same_arrays(unshuffled, explicit)


def test_validation_data_of_ones_own_come_first():
    model = make_model()
    parts = {"X_val": X[:5], "y_val": Y[:5], "validation_fraction": 0.5}
    history = make_trainer(model).fit(X, Y, **parts)
    assert history[0].step == 3
    want = model.evaluate(X[:5], Y[:5].astype(np.int32), BATCH)
    assert history[-1].val_loss == want[0]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_bad_fractions(fraction):
    with pytest.raises(UsageError, match="validation_fraction must be from 0 up to"):
        make_trainer().fit(X, Y, validation_fraction=fraction)
    with pytest.raises(UsageError, match="validation_fraction must be a number"):
        make_trainer().fit(X, Y, validation_fraction="half")


def test_too_few_samples_to_set_some_aside():
    with pytest.raises(DataError, match="1 samples are too few"):
        make_trainer().fit(X[:1], Y[:1], validation_fraction=0.2)
    history = make_trainer(epochs=1).fit(X[:3], Y[:3], validation_fraction=0.01)
    assert history[0].val_loss is not None


@pytest.mark.parametrize("samples", [[], [3], [4, 0, 4], np.arange(N)[::-1]], ids=len)
def test_samples_are_taken_out_of_sparse_data(samples):
    dense, _ = sparse_problem()
    dense[3] = 0
    samples = np.array(samples, np.int64)
    got = take_samples(as_csr(dense), samples)
    want = as_csr(dense[samples])
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(take_samples(dense, samples), dense[samples])


# Weights -----------------------------------------------------------------------------


def test_a_weight_of_two_is_like_a_sample_twice():
    x, y = X[:20], Y[:20]
    weights = np.where(np.arange(20) < 5, 2.0, 1.0)
    weighted, repeated = make_model(), make_model()
    settings = {"shuffle": False, "epochs": 2}
    make_trainer(weighted, **settings).fit(x, y, sample_weight=weights)
    twice = np.concatenate([np.arange(20), np.arange(5)])
    make_trainer(repeated, **settings).fit(x[twice], y[twice])
    pairs = zip(arrays_of(weighted), arrays_of(repeated), strict=True)
    for got, want in pairs:
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_sample_of_weight_zero_has_no_influence():
    weights = np.ones(N)
    weights[[3, 40]] = 0.0
    spoilt = X.copy()
    spoilt[[3, 40]] = 50.0
    models = make_model(), make_model()
    for model, x in zip(models, (X, spoilt), strict=True):
        make_trainer(model).fit(x, Y, sample_weight=weights)
    for got, want in zip(*map(arrays_of, models), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_equal_weights_are_no_weights():
    models = make_model(), make_model()
    make_trainer(models[0]).fit(X, Y)
    make_trainer(models[1]).fit(X, Y, sample_weight=np.full(N, 3.0))
    for got, want in zip(*map(arrays_of, models), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_a_batch_without_weight_does_no_harm():
    weights = np.ones(N)
    weights[:BATCH] = 0.0
    model = make_model()
    history = make_trainer(model, shuffle=False).fit(X, Y, sample_weight=weights)
    assert np.isfinite([record.train_loss for record in history]).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(N - 1), rf"must have shape \({N},\), got \({N - 1},\)"),
        (np.ones((N, 1)), "must have shape"),
        (-np.ones(N), "must be finite, not negative and not all 0"),
        (np.full(N, np.nan), "must be finite"),
        (np.zeros(N), "must be .* not all 0"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(DataError, match=f"sample_weight {message}"):
        make_trainer().fit(X, Y, sample_weight=weights)


# Kinds of data -----------------------------------------------------------------------


def test_sparse_data_train_like_dense_ones():
    dense, thin = sparse_problem()
    models = make_model(), make_model()
    make_trainer(models[0]).fit(dense, Y)
    make_trainer(models[1]).fit(thin, Y, X_val=thin[:BATCH], y_val=Y[:BATCH])
    for got, want in zip(*map(arrays_of, models), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_data_of_other_types_are_converted():
    whole = np.rint(4 * X)
    models = [make_model() for _ in range(3)]
    kinds = whole, whole.astype(np.int64), [list(map(float, row)) for row in whole]
    for model, data in zip(models, kinds, strict=True):
        make_trainer(model).fit(data, Y.astype(np.float64))
    assert_same_arrays(models[0], models[1])
    assert_same_arrays(models[0], models[2])


@pytest.mark.parametrize("loss", ["logistic", "squared", "huber"])
def test_targets_of_other_losses(loss):
    targets = (Y[:, None] == np.arange(SIZES[-1])).astype(np.float32)
    model = make_model(loss=loss)
    history = make_trainer(model, epochs=20).fit(X, targets)
    assert history[-1].train_loss < 0.7 * history[0].train_loss


def with_value(value, kind=np.asarray):
    x = X.copy()
    x[4, 2] = value
    return kind(x)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_data_that_are_not_finite(value, kind):
    bad = with_value(value, kind)
    with pytest.raises(DataError, match="X holds 1 values that are NaN or infinite"):
        make_trainer().fit(bad, Y)
    with pytest.raises(DataError, match="X_val holds 1 values"):
        make_trainer().fit(X, Y, X_val=bad, y_val=Y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:, :5], Y, r"shape \(n, 6\), got \(70, 5\)"),
        (X[0], Y, r"shape \(n, 6\), got \(6,\)"),
        (X[:0], Y[:0], "X holds no samples"),
        (sparse.csr_array((0, 6)), Y[:0], "X holds no samples"),
        (X, Y[:-1], "X has 70 samples, but there are 69 targets"),
        (X, Y + 1, "labels must be from 0 to 2, got 1 to 3"),
        (X, Y - 1, "labels must be from 0 to 2, got -1 to 1"),
        (X, Y + 0.5, "whole-number labels"),
        (X, Y[:, None], r"labels of shape \(n,\), got \(70, 1\)"),
        (X, np.array(["a"] * N), "targets must be numbers"),
        (X, None, "targets must be numbers"),
    ],
)
def test_data_that_do_not_fit(x, y, message):
    model = make_model()
    before = arrays_of(model)
    with pytest.raises(DataError, match=message) as caught:
        make_trainer(model).fit(x, y)
    assert caught.value.exit_code == 4
    for got, want in zip(arrays_of(model), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_validation_data_that_do_not_fit():
    with pytest.raises(DataError, match="X_val has 70 samples, but there are 3"):
        make_trainer().fit(X, Y, X_val=X, y_val=Y[:3])
    with pytest.raises(UsageError, match="X_val is given without y_val; give both or"):
        make_trainer().fit(X, Y, X_val=X)
    with pytest.raises(UsageError, match="y_val is given without X_val; give both or"):
        make_trainer().fit(X, Y, y_val=Y)


@pytest.mark.parametrize("swapped", [False, True])
def test_validation_data_may_be_sparse_or_dense_whatever_training_data_are(swapped):
    pair = sparse_problem()
    data, held_out = pair[::-1] if swapped else pair
    one, other = make_model(), make_model()
    mixed = make_trainer(one).fit(data, Y, X_val=held_out, y_val=Y)
    alike = make_trainer(other).fit(data, Y, X_val=data, y_val=Y)
    assert_same_arrays(one, other)
    for got, want in zip(mixed, alike, strict=True):
        assert got.val_loss == pytest.approx(want.val_loss, rel=1e-5)
        assert got.val_score == want.val_score


def test_weighted_validation_data_are_those_that_are_repeated():
    counts = np.random.default_rng(0).integers(0, 3, len(X))
    weights = {"X_val": X, "y_val": Y, "sample_weight_val": counts}
    weighted = make_trainer(make_model()).fit(X, Y, **weights)
    rows = np.repeat(np.arange(len(X)), counts)
    repeated = make_trainer(make_model()).fit(X, Y, X_val=X[rows], y_val=Y[rows])
    for got, want in zip(weighted, repeated, strict=True):
        assert got.val_loss == pytest.approx(want.val_loss, rel=1e-5)
        assert got.val_score == pytest.approx(want.val_score, rel=1e-12)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"sample_weight_val": np.ones(4)}, "sample_weight_val belongs to X_val"),
        (
            {"X_val": X, "y_val": Y, "sample_weight_val": np.ones(4)},
            r"sample_weight_val must have shape \(70,\)",
        ),
        (
            {"X_val": X, "y_val": Y, "sample_weight_val": np.zeros(len(X))},
            "sample_weight_val must be finite, not negative and not all 0",
        ),
        ({"X_val": X, "y_val": Y + 9}, "y_val: labels must be from 0"),
    ],
)
def test_validation_data_that_are_refused_are_named(validation, message):
    with pytest.raises((DataError, UsageError), match=message):
        make_trainer().fit(X, Y, **validation)


def test_samples_set_aside_keep_their_weights():
    model = make_model(seed=5)
    _, held_out = set_aside(len(X), 0.3, seed=5)
    weights = np.random.default_rng(1).random(len(X))
    settings = {"validation_fraction": 0.3, "sample_weight": weights}
    record = make_trainer(model, epochs=1).fit(X, Y, **settings)[-1]
    want = model.evaluate(X[held_out], Y[held_out], BATCH, weights[held_out])
    assert (record.val_loss, record.val_score) == want
    weights[held_out] = 0.0
    with pytest.raises(DataError, match="all samples that validation_fraction sets"):
        make_trainer(make_model(seed=5)).fit(X, Y, **settings)


def test_weights_that_are_all_set_aside():
    trainer = make_trainer(make_model(seed=5))
    _, held_out = set_aside(len(X), 0.3, seed=5)
    weights = np.zeros(len(X))
    weights[held_out] = 1.0
    with pytest.raises(DataError, match="that validation_fraction leaves for training"):
        trainer.fit(X, Y, validation_fraction=0.3, sample_weight=weights)


def test_a_spoilt_model_is_not_trained_on():
    model = make_model()
    model.layers[1].connections.values[0] = np.nan
    with pytest.raises(UsageError, match="weights hold NaN or infinity"):
        make_trainer(model).fit(X, Y)


def test_entries_of_one_cell_are_added_in_the_type_of_the_model():
    cells = ([0, 0, 1], [2, 2, 3])
    small = sparse.coo_array((np.array([100, 100, 1], np.int8), cells), (2, SIZES[0]))
    got = as_source_data(small, np.float32, SIZES[0])
    np.testing.assert_array_equal(got.values, [200.0, 1.0])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([["a", "b"]], "must be real numbers, got <U1"),
        ([[1.0, 2.0], [3.0]], "must be a matrix of numbers"),
        (np.ones((2, SIZES[0]), complex), "must be real numbers, got complex128"),
        (
            np.full((2, SIZES[0]), 1e300),
            "12 values that are NaN or infinite in float32",
        ),
    ],
)
def test_data_that_are_not_numbers(x, message):
    with pytest.raises(DataError, match=message):
        make_model().predict_proba(x)


def test_targets_too_large_for_the_dtype():
    model = make_model(loss="squared")
    targets = np.full((N, SIZES[-1]), 1e300)
    with pytest.raises(DataError, match="targets contain NaN or infinity"):
        make_trainer(model).fit(X, targets)
