"""What a model file keeps of the training data comes back, or is refused."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from support import tensor_files
from support.training import make_model

from truesparse import datasets
from truesparse.datasets import Preprocessing
from truesparse.datasets.encoding import ColumnEncoding, TableEncoding
from truesparse.datasets.raw import TableLayout
from truesparse.errors import DataError, ModelFileError, UsageError
from truesparse.storage import models

FIELDS = (
    *("classes", "feature_mean", "feature_scale", "target_mean", "target_scale"),
    *("feature_names", "first_index", "target_name", "encoding", "layout"),
)
MEAN, SCALE = np.array([0.1, 1e300, -5.0]), np.array([1e-300, 2.0, 3.0])


ENCODING = TableEncoding(
    (
        ColumnEncoding("size", fill=1.5),
        ColumnEncoding("colour", ("blue", "ro\u0301t"), True, "blue"),
    ),
    has_names=False,
)


def write(path, preprocessing, n_in=3, n_out=2, **settings):
    model = make_model((n_in, 5, n_out), **settings)
    return models.save(model, path, preprocessing=preprocessing)


def assert_same(got, want):
    assert got.task == want.task
    for name in FIELDS:
        ours, theirs = getattr(got, name), getattr(want, name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype.kind == theirs.dtype.kind
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs


LABELS = (
    st.lists(st.text(st.characters(exclude_characters="\0")), unique=True)
    | st.lists(st.integers(-(2**63), 2**63 - 1), unique=True)
    | st.lists(st.floats(allow_nan=False, allow_infinity=False), unique=True)
    | st.just([False, True])
).filter(lambda labels: len(labels) > 1)


@given(LABELS)
def test_labels_of_every_kind_come_back(tmp_path_factory, labels):
    classes = np.unique(np.array(labels))
    path = tmp_path_factory.mktemp("labels") / "m"
    want = Preprocessing("classification", classes)
    write(path, want, n_out=len(classes))
    assert_same(models.load_preprocessing(path), want)


@pytest.mark.parametrize(
    "want",
    [
        Preprocessing("regression", None, MEAN, SCALE, MEAN[:2], SCALE[:2]),
        Preprocessing("regression", None, None, SCALE, feature_names=("ä", "b", "")),
        Preprocessing("multilabel", np.array([9, 4]), first_index=1),
        Preprocessing("multilabel", first_index=0),
        Preprocessing("regression", target_name="y", layout=TableLayout(2, (0, 4))),
        Preprocessing("regression", encoding=ENCODING, layout=TableLayout(0)),
    ],
    ids=lambda value: value.task,
)
def test_scales_and_names_come_back(want, tmp_path):
    path = write(tmp_path / "m", want, loss="squared")
    assert_same(models.load_preprocessing(path), want)
    # The model is read as ever.
    assert models.load(path).layer_sizes == (3, 5, 2)


@pytest.mark.parametrize("name", ["iris", "digits", "diabetes"])
def test_raw_rows_are_scaled_as_the_training_data_were(name, tmp_path):
    data = datasets.load(name, scale_target=True)
    path = tmp_path / "m"
    write(path, Preprocessing.of(data), data.n_features, data.n_outputs)
    how = models.load_preprocessing(path)
    rows = datasets.load_rows(name, n_features=data.n_features, task=data.task)
    scaled = how.transform(rows.X, "float32")
    np.testing.assert_array_equal(scaled, data.X_test)
    if data.task == "regression":
        got = how.unscale_targets(data.y_test)
        np.testing.assert_allclose(got[:, 0], rows.y, rtol=1e-5)
    else:
        np.testing.assert_array_equal(how.classes[data.y_test], rows.y)


def test_sparse_rows_stay_sparse_and_cannot_be_centred():
    X = sparse.random_array((5, 3), density=0.5, rng=0, format="csr")
    scaled = Preprocessing("regression", None, None, SCALE + 1).transform(X, "float64")
    assert isinstance(scaled, sparse.csr_array)
    np.testing.assert_allclose(scaled.toarray(), X.toarray() / (SCALE + 1))
    with pytest.raises(DataError, match="sparse, but the model was trained on centred"):
        Preprocessing("regression", None, MEAN, SCALE).transform(X, "float64")


def test_a_file_without_it(tmp_path):
    path = models.save(make_model(), tmp_path / "m")
    assert models.load_preprocessing(path) is None
    assert models.load_config(path) is None


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        (Preprocessing("clustering"), "unknown task"),
        (
            Preprocessing("classification"),
            "no classes do not suit a model of 2 outputs",
        ),
        (
            Preprocessing("classification", np.arange(3)),
            "3 classes do not suit a model of 2",
        ),
        (
            Preprocessing("classification", np.array([2, 1])),
            "classes must be sorted and differ",
        ),
        (
            Preprocessing("multilabel", np.array(["a", "a"])),
            "classes must be sorted and differ",
        ),
        (Preprocessing("regression", None, MEAN), "feature_mean needs a feature_scale"),
        (
            Preprocessing("regression", target_scale=np.ones(2)),
            "target_mean and target_scale belong together",
        ),
        (
            Preprocessing("regression", None, None, SCALE[:2]),
            r"must be float64 of shape \(3,\)",
        ),
        (Preprocessing("regression", None, None, SCALE * 0), "must be above 0"),
        (Preprocessing("regression", None, None, SCALE * np.nan), "holds NaN"),
        (Preprocessing("regression", None, None, SCALE.astype("f4")), "float64"),
        (
            Preprocessing("regression", feature_names=("a",)),
            "has 1 names, but the model takes 3 features",
        ),
        (Preprocessing("regression", first_index=2), "first_index must be 0 or 1"),
        (
            Preprocessing("regression", layout=TableLayout(4)),
            "layout has places above 3, the last one of 4 columns",
        ),
        (
            Preprocessing("regression", layout=TableLayout(0, (5,)), encoding=ENCODING),
            "layout has places above 3",
        ),
        (
            Preprocessing("regression", encoding=TableEncoding(ENCODING.columns[:1])),
            "encoding makes 1 features, but the model takes 3",
        ),
    ],
)
def test_what_does_not_suit_the_model_is_not_saved(preprocessing, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        write(tmp_path / "m", preprocessing)
    assert not list(tmp_path.iterdir())


def test_files_of_version_0_1_0_lack_some_fields(tmp_path):
    want = Preprocessing("regression", None, MEAN, SCALE)
    path = write(tmp_path / "m", want, loss="squared")
    tensors, metadata = tensor_files.read(path)
    fields = json.loads(metadata["preprocessing"])
    for name in ("target_name", "encoding", "layout"):
        del fields[name]
    metadata["preprocessing"] = json.dumps(fields)
    tensor_files.write(path, tensors, metadata)
    assert_same(models.load_preprocessing(path), want)


def test_one_logistic_output_tells_two_classes_apart(tmp_path):
    want = Preprocessing("classification", np.array(["no", "yes"]))
    path = write(tmp_path / "m", want, n_out=1, loss="logistic")
    assert_same(models.load_preprocessing(path), want)


# Damaged files -----------------------------------------------------------------------


def encoded(**fields):
    """Return the description of an encoding whose second column is changed."""
    description = ENCODING.to_json()
    description["columns"][1] |= fields
    return description


def change(text, **fields):
    return json.dumps(json.loads(text) | fields)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "{",
        lambda text: "[]",
        lambda text: "{}",
        lambda text: "[" * 100_000,
        lambda text: change(text, task=3),
        lambda text: change(text, task="clustering"),
        lambda text: change(text, classes=["a"]),
        lambda text: change(text, classes=["a", 1]),
        lambda text: change(text, classes=[1, 1.5]),
        lambda text: change(text, classes=[[1], [2]]),
        lambda text: change(text, classes=["b", "a"]),
        lambda text: change(text, classes="ab"),
        lambda text: change(text, classes=[1.0, float("nan")]),
        lambda text: change(text, classes=[1.0, float("inf")]),
        lambda text: change(text, classes=[1, 2**70]),
        lambda text: change(text, feature_names=["a"]),
        lambda text: change(text, feature_names=[1, 2, 3]),
        lambda text: change(text, feature_names=7),
        lambda text: change(text, first_index=True),
        lambda text: change(text, first_index=2),
        lambda text: change(text, target_name=2),
        lambda text: change(text, layout={"target": -1, "left_out": []}),
        lambda text: change(text, layout={"target": 1, "left_out": [1]}),
        lambda text: change(text, layout={"target": 1}),
        lambda text: change(text, layout=[1, [2]]),
        lambda text: change(text, layout={"target": 9, "left_out": []}),
        lambda text: change(text, encoding={}),
        lambda text: change(text, encoding={"columns": [], "has_names": True}),
        lambda text: change(text, encoding=encoded(categories=None)),
        lambda text: change(text, encoding=encoded(categories=["b", "a"])),
        lambda text: change(text, encoding=encoded(categories=["a", 3])),
        lambda text: change(text, encoding=encoded(categories=["a"])),
        lambda text: change(text, encoding=encoded(categories=[])),
        lambda text: change(text, encoding=encoded(fill=3.0)),
        lambda text: change(text, encoding=encoded(fill="c")),
        lambda text: change(
            text, encoding=encoded(categories=None, is_onehot=False, fill=float("nan"))
        ),
        lambda text: change(text, encoding=encoded(name=3)),
        lambda text: change(text, encoding=encoded(is_onehot="yes")),
    ],
)
def test_damaged_metadata_are_refused(damage, tmp_path):
    written = Preprocessing("classification", np.array(["a", "b"]), MEAN, SCALE)
    path = write(tmp_path / "m", written)
    tensors, metadata = tensor_files.read(path)
    metadata["preprocessing"] = damage(metadata["preprocessing"])
    tensor_files.write(path, tensors, metadata)
    with pytest.raises(ModelFileError) as caught:
        models.load_preprocessing(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    # Without it the model would take rows for what they are not.
    with pytest.raises(ModelFileError):
        models.load(path)


@pytest.mark.parametrize(
    "scale", [SCALE[:2], SCALE.astype("f4"), SCALE * -1, SCALE * np.inf, SCALE[None]]
)
def test_damaged_scales_are_refused(scale, tmp_path):
    written = Preprocessing("classification", np.array(["a", "b"]), MEAN, SCALE)
    path = write(tmp_path / "m", written)
    tensors, metadata = tensor_files.read(path)
    tensors["preprocessing.feature_scale"] = scale
    tensor_files.write(path, tensors, metadata)
    with pytest.raises(ModelFileError):
        models.load_preprocessing(path)


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "m"
    safetensors.numpy.save_file({"a": np.ones(2)}, path)
    with pytest.raises(ModelFileError, match="not a truesparse model"):
        models.load_preprocessing(path)
    with pytest.raises(ModelFileError, match="cannot read"):
        models.load_config(tmp_path / "missing")
    with pytest.raises(ModelFileError, match=r"holds no model\.safetensors"):
        models.find_model(tmp_path)
