"""Loaded models and raw rows: what predicts from them, and what warns."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from support.network import make_model
from support.raw_rows import problems
from support.strategies import to_dense

from truesparse import (
    Predictor,
    Trainer,
    datasets,
    load,
    load_predictor,
    save,
)
from truesparse.condensed import CondensedMLP
from truesparse.datasets import Preprocessing
from truesparse.errors import DataError, ModelFileError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage.run_folder import CHECKPOINT, METRICS, MODEL

RAW = [[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, 1.8]]
IRIS = Preprocessing("classification", np.arange(3))
NAMES = ("sepal", "width", "petal", "depth")


@pytest.fixture
def iris():
    """Return a net and the Dataset that it could be trained on."""
    data = datasets.load("iris")
    return make_model((4, 6, 3), activation="relu", dtype="float32"), data


def naive_outputs(model, how, rows):
    """Return what follows the last layer, in float64."""
    x = rows.toarray() if hasattr(rows, "toarray") else rows
    x = x.astype(np.float64)
    if how.feature_mean is not None:
        x = x - how.feature_mean
    if how.feature_scale is not None:
        x = x / how.feature_scale
    for layer in model.layers:
        z = x @ to_dense(layer.connections) + layer.bias
        x = np.maximum(z, 0.0)
    if model.loss.name == "softmax":
        powers = np.exp(z - z.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    if model.loss.name == "logistic":
        return 1.0 / (1.0 + np.exp(-z))
    return z if how.target_scale is None else z * how.target_scale + how.target_mean


@given(problems(dtypes=("float64",)))
def test_predictions_are_those_of_the_definition(tmp_path_factory, problem):
    model, how, rows = problem
    path = save(model, tmp_path_factory.getbasetemp() / "m", preprocessing=how)
    predictor, want = load_predictor(path), naive_outputs(model, how, rows)
    got = predictor.predict(rows, batch_size=4)
    if how.task == "regression":
        size = 1.0 if how.target_scale is None else how.target_scale
        np.testing.assert_allclose(got / size, want / size, rtol=1e-9, atol=1e-9)
        return
    chances = predictor.predict_proba(rows, batch_size=4)
    if want.shape[1] == 1:
        want = np.hstack([1.0 - want, want])
    np.testing.assert_allclose(chances, want, rtol=0, atol=1e-9)
    if how.task == "multilabel":
        np.testing.assert_array_equal(got, want > 0.5)
    else:
        np.testing.assert_array_equal(got, how.classes[want.argmax(axis=1)])


def test_a_list_and_a_table_in_any_order_are_rows(iris):
    model, data = iris
    how = Preprocessing(
        "classification",
        data.classes,
        data.feature_mean,
        data.feature_scale,
        feature_names=NAMES,
    )
    predictor = Predictor(model, how)
    want = predictor.predict_proba(np.array(RAW))
    np.testing.assert_array_equal(predictor.predict_proba(RAW), want)
    table = pd.DataFrame(RAW, columns=NAMES)
    mixed = table[["petal", "width", "depth", "sepal"]].assign(more="text")
    np.testing.assert_array_equal(predictor.predict_proba(mixed), want)
    with pytest.raises(DataError, match=r"lacks 1 of the 4 columns .*'petal'; add or"):
        predictor.predict(table.drop(columns="petal"))
    with pytest.raises(DataError, match=r"'petal' \(it has 'petals'\); add or"):
        predictor.predict(table.rename(columns={"petal": "petals"}).assign(**{"7": 1}))
    numbered = table.drop(columns="petal").assign(rest=0).rename(columns={"rest": 7})
    with pytest.raises(DataError, match=r"X lacks 1 of the 4 columns .*: 'petal'; add"):
        predictor.predict(numbered)
    with pytest.raises(DataError, match="X has 2 columns named 'sepal', which the mod"):
        predictor.predict(pd.concat([table, table[["sepal"]]], axis=1))


@pytest.mark.parametrize("rows", [[[1.0, 2.0]], [1.0] * 4, [["a"] * 4], [[np.nan] * 4]])
def test_rows_that_do_not_suit_are_refused(rows, iris):
    with pytest.raises(DataError):
        Predictor(*iris).predict(rows)


def test_options_are_checked(iris):
    with pytest.raises(UsageError, match="batch_size"):
        Predictor(*iris).predict(RAW, batch_size=0)
    regression = Predictor(make_model((4, 3, 1), loss="squared"))
    assert regression.predict(RAW).shape == (2,)
    with pytest.raises(UsageError, match="a regression has no probabilities"):
        regression.predict_proba(RAW)


# The preprocessing of a loaded model -------------------------------------------------


def test_it_goes_with_the_model(iris, tmp_path):
    model, data = iris
    assert model.preprocessing is None
    first = load(save(model, tmp_path / "m", preprocessing=data))
    for again in (
        load(save(first, tmp_path / "again")),
        copy.deepcopy(first),
        pickle.loads(pickle.dumps(first)),
    ):
        how = again.preprocessing
        np.testing.assert_array_equal(how.feature_mean, data.feature_mean)
        np.testing.assert_array_equal(how.feature_scale, data.feature_scale)
        np.testing.assert_array_equal(how.classes, data.classes)
        assert how.task == "classification"
    assert load(save(model, tmp_path / "none")).preprocessing is None


def test_a_given_one_is_saved_rather_than_that_of_the_model(iris, tmp_path):
    model, data = iris
    model.preprocessing = data
    other = Preprocessing("classification", np.array(["a", "b", "c"]))
    path = save(model, tmp_path / "m", preprocessing=other)
    assert load(path).preprocessing.classes.tolist() == ["a", "b", "c"]


def test_scaled_rows_are_to_be_said_so(iris, tmp_path):
    model, data = iris
    want = model.predict_proba(data.X_test)
    again = load(save(model, tmp_path / "m", preprocessing=data))
    for method in (again.predict_proba, again.decision_function):
        with pytest.warns(UserWarning, match=r"load_predictor, .*scaled=True") as seen:
            method(data.X_test)
        assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = again.predict_proba(data.X_test, scaled=True)
        again.decision_function(data.X_test, scaled=True)
        Predictor(again).predict(RAW)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "how",
    [
        Preprocessing("classification", np.arange(3)),
        Preprocessing("classification", np.arange(3), feature_names=NAMES),
    ],
)
def test_there_is_no_warning_where_nothing_is_scaled(how, iris, tmp_path):
    again = load(save(iris[0], tmp_path / "m", preprocessing=how))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.predict_proba(np.array(RAW))


def test_scaled_targets_alone_warn_too(tmp_path):
    one = np.ones(1)
    how = Preprocessing("regression", None, None, None, one, 2 * one)
    model = make_model((4, 3, 1), loss="squared")
    model.preprocessing = how
    with pytest.warns(UserWarning, match="takes and returns such"):
        outputs = model.predict_proba(np.array(RAW))
    np.testing.assert_allclose(Predictor(model).predict(RAW), 1 + 2 * outputs[:, 0])


def test_a_file_that_does_not_say_how_rows_were_scaled(iris, tmp_path):
    model, data = iris
    path = save(model, tmp_path / "m")
    with pytest.warns(UserWarning, match="m does not say how features were") as seen:
        predictor = load_predictor(path)
    assert seen[0].filename == __file__
    want = model.predict_proba(data.X_test)
    np.testing.assert_array_equal(predictor.predict_proba(data.X_test), want)
    assert predictor.classes.tolist() == [0, 1, 2]


def test_training_on_other_data_forgets_it_and_resuming_does_not(iris):
    """Rows of a new run may be scaled otherwise than those of the file."""
    model, data = iris
    model.preprocessing = data
    trainer = Trainer(model, epochs=2, topology="static")
    trainer.fit(data.X_train, data.y_train, until=1)
    assert model.preprocessing is None
    model.preprocessing = data
    trainer.fit(data.X_train, data.y_train, run=trainer.run)
    assert model.preprocessing is data


# Folders of runs ---------------------------------------------------------------------


def make_run(folder, last, *files):
    folder.mkdir()
    for step, name in enumerate(files, 1):
        model = SparseMLP([4, 5, 3], seed=step)
        model.step = 1000 * step
        save(model, folder / name, preprocessing=IRIS)
    (folder / METRICS).write_text(f'{{"event": "{last}"}}\n')


def test_the_folder_of_a_run_stands_for_its_model(tmp_path):
    make_run(tmp_path / "run", "run_end", MODEL, CHECKPOINT)
    for path in (tmp_path / "run", str(tmp_path / "run")):
        assert load(path).step == 1000
        assert load_predictor(path).model.step == 1000


def test_the_checkpoint_of_a_run_that_goes_on_comes_with_a_note(tmp_path):
    make_run(tmp_path / "run", "epoch", MODEL, CHECKPOINT)
    match = (
        r"run has not ended: this is checkpoint\.safetensors, saved after step 2,000"
    )
    with pytest.warns(UserWarning, match=match) as seen:
        assert load(tmp_path / "run").step == 2000
    assert seen[0].filename == __file__
    # Who names the file knows.
    assert load(tmp_path / "run" / CHECKPOINT).step == 2000


def test_folders_without_a_model(tmp_path):
    with pytest.raises(ModelFileError, match=r"holds no model\.safetensors or"):
        load_predictor(tmp_path)


def test_a_condensed_model_is_not_loaded(tmp_path):
    CondensedMLP.from_model(make_model((4, 6, 3))).save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="is a condensed model"):
        load_predictor(tmp_path / "m")


@pytest.fixture
def garments(tmp_path):
    """Return a DataFrame with text and gaps, and a net and the Dataset of its file."""
    table = pd.DataFrame(
        {
            "size": [1.5, np.nan, 4.0, 2.5] * 10,
            "colour": ["red", "blue", "red", "green"] * 10,
            "new": [True, False, False, True] * 10,
            "y": [0, 1] * 20,
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    data = datasets.load(tmp_path / "t.csv", missing="mean")
    return table, make_model((data.n_features, 6, 2), dtype="float32"), data


@pytest.mark.parametrize("dtype", ["O", "category", "str"])
def test_columns_of_a_table_are_encoded_as_in_training(tmp_path, garments, dtype):
    table, model, data = garments
    rows = datasets.load_rows(
        tmp_path / "t.csv",
        n_features=data.n_features,
        feature_names=data.feature_names,
        table_encoding=data.encoding,
    )
    predictor = Predictor(model, data)
    want = predictor.predict_proba(rows.X)
    table = table[["colour", "y", "new", "size"]].astype({"colour": dtype})
    np.testing.assert_array_equal(predictor.predict_proba(table), want)
    encoded = pd.DataFrame(rows.X, columns=list(data.feature_names))
    np.testing.assert_array_equal(predictor.predict_proba(encoded), want)


def test_rows_that_are_not_encoded_are_refused_with_what_to_do(garments):
    table, model, data = garments
    predictor = Predictor(model, Preprocessing.of(data))
    with pytest.raises(DataError, match=r"lacks 1 of the 3 columns .* 'colour'"):
        predictor.predict(table.drop(columns="colour"))
    with pytest.raises(DataError, match="X has 2 columns named 'size', which the mod"):
        predictor.predict(pd.concat([table, table[["size"]]], axis=1))
    with pytest.raises(DataError, match="categories encoded, as load_rows returns"):
        predictor.predict(np.ones((2, 3)))
