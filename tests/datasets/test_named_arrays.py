"""Arrays are chosen by their names, in .npz, .npy and .mat files alike."""

import struct

import numpy as np
import pytest
from scipy import sparse
from scipy.io import savemat
from support.data_files import LABELS, X, assert_same_rows, raw

from truesparse.datasets import load, load_rows
from truesparse.datasets.matlab import read_mat
from truesparse.datasets.table_options import TableOptions
from truesparse.errors import DataError, UsageError

TRAIN, TEST = slice(20), slice(20, None)
NAMES = [
    ("X", "y"),
    ("x", "Y"),
    ("data", "target"),
    ("features", "labels"),
    ("fea", "gnd"),
    ("Data", "Label"),
]
PARTS = [
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("trainX", "trainY", "testX", "testY"),
    ("Xtrain", "ytrain", "Xtest", "ytest"),
    ("train_data", "train_labels", "test_data", "test_labels"),
]


def write(folder, ending, arrays):
    """Write arrays by name; return the path to load."""
    path = folder / f"a{ending}"
    if ending == ".npz":
        np.savez(path, **arrays)
    elif ending == ".mat":
        savemat(path, arrays)
    elif ending == ".h5.mat":
        write_mat_73(path, arrays)
    else:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        path = folder / f"{next(iter(arrays))}.npy"
    return path


def write_mat_73(path, arrays):
    """Write the layout of MATLAB's version 7.3: HDF5 after a header, transposed."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if sparse.issparse(array):
                columns, group = sparse.csc_array(array), file.create_group(name)
                group.attrs["MATLAB_sparse"] = np.uint64(array.shape[0])
                group["data"], group["ir"] = columns.data, columns.indices
                group["jc"] = columns.indptr
                stored = group
            else:
                rows = array[:, None] if array.ndim == 1 else array
                stored = file.create_dataset(name, data=rows.T)
            stored.attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")


@pytest.mark.parametrize("ending", [".npz", ".npy", ".mat", ".h5.mat"])
@pytest.mark.parametrize("names", NAMES)
def test_features_and_target_have_many_names(folder, ending, names):
    path = write(folder, ending, dict(zip(names, (X, LABELS), strict=True)))
    data, rows, y = raw(path)
    assert data.classes.tolist() == [0, 1, 2]
    assert_same_rows(np.c_[rows, y], np.c_[X, LABELS])
    assert f"array '{names[1]}', by its name" in data.notes[0]


@pytest.mark.parametrize("ending", [".npz", ".npy", ".mat"])
@pytest.mark.parametrize("names", PARTS)
def test_parts_have_many_names(folder, ending, names):
    arrays = X[TRAIN], LABELS[TRAIN], X[TEST], LABELS[TEST]
    path = write(folder, ending, dict(zip(names, arrays, strict=True)))
    data = load(path, scale="none", dtype=np.float64)
    np.testing.assert_array_equal(data.X_train, X[TRAIN])
    np.testing.assert_array_equal(data.X_test, X[TEST])
    assert data.y_train.tolist() == LABELS[TRAIN].tolist()
    assert data.y_test.tolist() == LABELS[TEST].tolist()


@pytest.mark.parametrize("ending", [".npz", ".mat"])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X, "data": X, "y": LABELS}, "could be the features: 'X', 'data'"),
        ({"X": X, "Y": X, "label": LABELS}, "could be the target: 'Y', 'label'"),
        ({"X": X, "names": LABELS}, "lacks y; it holds 'X', 'names'"),
        ({"vectors": X}, "lacks X, y; it holds 'vectors'"),
    ],
)
def test_what_is_not_clear_is_refused(folder, ending, arrays, message):
    with pytest.raises(DataError, match=message):
        load(write(folder, ending, arrays))


def test_a_validation_part_is_said_to_be_unused(folder):
    arrays = dict(zip(PARTS[1], (X, LABELS, X, LABELS), strict=True))
    np.savez(folder / "a.npz", **arrays, val_images=X, val_labels=LABELS)
    warnings = load(folder / "a.npz").warnings
    assert [w.partition(": ")[2] for w in warnings] == [
        "not used: val_images, val_labels"
    ]


def test_arrays_without_names_go_by_their_shapes(folder):
    np.savez(folder / "a.npz", X, LABELS)
    data, rows, y = raw(folder / "a.npz")
    assert_same_rows(np.c_[rows, y], np.c_[X, LABELS])
    assert "arr_0 is taken for the features" in data.warnings[0]
    np.savez(folder / "b.npz", LABELS, X)
    with pytest.raises(DataError, match=r"arr_0 has shape \(30,\) .* give names"):
        load(folder / "b.npz")
    np.savez(folder / "c.npz", X, X, LABELS, LABELS)
    with pytest.raises(DataError, match="lacks X, y; it holds 'arr_0', 'arr_1'"):
        load(folder / "c.npz")


# --- .npy


@pytest.mark.parametrize("y", [LABELS, X[:, 0] + 0.25])
def test_an_npy_table_has_the_target_last(folder, y):
    np.save(folder / "table.npy", np.c_[X, y])
    data, rows, got = raw(folder / "table.npy")
    assert "column 6, the last one" in data.notes[0]
    assert_same_rows(np.c_[rows, got], np.c_[X, y])
    data, rows, got = raw(folder / "table.npy", target=1, drop=6)
    assert data.task == "regression"
    assert_same_rows(np.c_[got, rows], X)


def test_npy_tables_keep_types(folder):
    labels = 2**53 + 1 + LABELS
    np.save(folder / "whole.npy", np.c_[np.arange(30), np.arange(30) % 7, labels])
    data = load(folder / "whole.npy", task="classification", index=1)
    assert data.classes.tolist() == (2**53 + np.arange(1, 4)).tolist()
    pairs = list(zip(X[:, 0], np.array(["a", "b", "c"])[LABELS], strict=True))
    np.save(folder / "named.npy", np.array(pairs, [("width", "f8"), ("kind", "U1")]))
    data, rows, _ = raw(folder / "named.npy")
    assert (data.feature_names, data.target_name) == (("width",), "kind")
    assert_same_rows(rows, X[:, :1])
    text = np.c_[X[:, :2].astype(str), np.array(["a", "b", "c"])[LABELS]]
    np.save(folder / "text.npy", text)
    data, rows, _ = raw(folder / "text.npy")
    assert_same_rows(rows, X[:, :2])


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("a.npy", X[:, 0], r"has shape \(30,\); give a table"),
        ("a.npy", X.reshape(30, 5, 1), r"has shape \(30, 5, 1\)"),
        ("a.npy", X[:0], r"has shape \(0, 5\)"),
        ("a.npy", X + 1j, "holds complex128 values"),
        ("a.npy", np.array([[1, "a"]], object), "without Python objects"),
        ("X.npy", X, "lacks y; it holds 'X'; store it as .npy beside this file"),
    ],
)
def test_npy_files_that_do_not_suit_are_refused(folder, name, array, message):
    np.save(folder / name, array)
    with pytest.raises(DataError, match=message):
        load(folder / name)


def test_npy_options(folder):
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", LABELS)
    with pytest.raises(UsageError, match=r"missing='mean' .* target is in another"):
        load(folder / "X.npy", missing="mean")
    with pytest.raises(UsageError, match=r"means nothing for an \.npy file"):
        load(folder / "X.npy", header="no")
    # A stated target makes a table of it.
    _data, rows, y = raw(folder / "X.npy", target=5)
    assert_same_rows(np.c_[rows, y], X)


def test_other_features_in_the_folder_are_no_rivals(folder):
    for name, array in {"X": X, "data": -X, "X_test": -X, "y": LABELS}.items():
        np.save(folder / f"{name}.npy", array)
    _, rows, y = raw(folder / "X.npy")
    assert_same_rows(np.c_[rows, y], np.c_[X, LABELS])
    np.save(folder / "label.npy", LABELS)
    with pytest.raises(DataError, match="could be the target: 'label', 'y'"):
        load(folder / "X.npy")


def test_npy_rows_for_a_model(folder):
    images = X[:, :4].reshape(30, 2, 2)
    for name, array in {"new": images, "x_test": images, "other": X}.items():
        np.save(folder / f"{name}.npy", array)
    for name in ("new", "x_test"):
        rows = load_rows(folder / f"{name}.npy", n_features=4, dtype=np.float64)
        np.testing.assert_array_equal(rows.X, X[:, :4])
        assert rows.y is None
    np.save(folder / "y_test.npy", LABELS)
    assert load_rows(folder / "x_test.npy", n_features=4).y.tolist() == LABELS.tolist()
    rows = load_rows(folder / "other.npy", n_features=4, dtype=np.float64)
    np.testing.assert_array_equal(np.c_[rows.X, rows.y], X)


# --- .mat


@pytest.mark.parametrize("ending", [".mat", ".h5.mat"])
def test_sparse_features_of_mat_stay_sparse(folder, ending):
    positive = X * (X > 0)
    arrays = {"X": sparse.csc_array(positive), "Y": LABELS[:, None].astype(float)}
    data, rows, y = raw(write(folder, ending, arrays))
    assert data.is_sparse
    assert_same_rows(np.c_[rows, y], np.c_[positive, LABELS])


def test_mat_labels_in_a_row_or_as_text(folder):
    savemat(folder / "a.mat", {"X": X, "Y": LABELS[None]})
    _, rows, y = raw(folder / "a.mat")
    assert_same_rows(np.c_[rows, y], np.c_[X, LABELS])
    savemat(folder / "b.mat", {"X": X, "Y": np.array(["oak", "fir", "bay"])[LABELS]})
    data, rows, y = raw(folder / "b.mat")
    assert data.classes.tolist() == ["bay", "fir", "oak"]
    assert_same_rows(np.c_[rows, 2 - y], np.c_[X, LABELS])


def write_as_matlab_does(path, **arrays):
    """Write doubles as MATLAB does: whole ones up to 255 are stored as uint8."""

    def element(kind, content):
        padding = bytes(-len(content) % 8)
        return struct.pack("<II", kind, len(content)) + content + padding

    start = (
        b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<HH", 256, 19785)
    )
    matrices = [
        element(6, struct.pack("<II", 6, 0))  # class double
        + element(5, struct.pack("<ii", *array.shape))
        + element(1, name.encode())
        + element(2, array.astype(np.uint8).tobytes(order="F"))
        for name, array in arrays.items()
    ]
    path.write_bytes(start + b"".join(element(14, matrix) for matrix in matrices))


def test_doubles_and_truth_values_of_mat_are_no_grey_values(folder):
    whole = np.c_[np.arange(30) % 2, np.arange(30) % 3 > 1, np.arange(30)]
    write_as_matlab_does(folder / "a.mat", X=whole, Y=LABELS[:, None])
    read = read_mat(folder / "a.mat", TableOptions())
    assert read.X_train.dtype == np.float64
    np.testing.assert_array_equal(
        np.c_[read.X_train, read.y_train], np.c_[whole, LABELS]
    )
    for values, kind in ((whole.astype(float), "f"), (whole > 0, "i"), (whole, "i")):
        savemat(folder / "a.mat", {"X": values, "Y": LABELS})
        got = read_mat(folder / "a.mat", TableOptions()).X_train
        assert got.dtype.kind == kind
        np.testing.assert_array_equal(got, values)
    savemat(folder / "a.mat", {"X": whole.astype(np.uint8), "Y": LABELS})
    assert read_mat(folder / "a.mat", TableOptions()).X_train.dtype == np.uint8


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": {"a": X}, "y": LABELS}, "data is a struct of MATLAB"),
        ({"X": X, "y": np.array(["a", "bc"], object)}, "y is a cell of MATLAB"),
        ({"X": X.reshape(5, 2, 15), "y": LABELS}, r"X has shape \(5, 2, 15\)"),
        ({"X": X.T, "y": LABELS}, "30 rows, but there are 5 rows of features"),
    ],
)
def test_mat_files_that_do_not_suit_are_refused(folder, arrays, message):
    savemat(folder / "a.mat", arrays)
    with pytest.raises(DataError, match=message):
        load(folder / "a.mat")


def test_mat_without_h5py_says_what_to_install(folder, monkeypatch):
    path = write(folder, ".h5.mat", {"X": X, "y": LABELS})
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UsageError, match=r"7\.3 needs h5py: pip install"):
        load(path)


def test_mat_structs_of_version_73_are_refused(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.mat", "w") as file:
        file.create_group("X")["a"] = X
        file["y"] = LABELS
    with pytest.raises(DataError, match="X is a struct of MATLAB"):
        load(folder / "a.mat")


@pytest.mark.parametrize("ending", [".npz", ".npy"])
def test_no_images_are_refused(folder, ending):
    arrays = {"X": np.zeros((0, 4, 4)), "y": np.zeros(0)}
    if ending == ".npz":
        np.savez(folder / "X.npz", **arrays)
    else:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
    with pytest.raises(DataError, match="X is empty: 0 rows x 16 columns"):
        load(folder / f"X{ending}")


@pytest.mark.parametrize("ending", [".npz", ".mat"])
def test_test_targets_without_features_do_not_hinder_a_prediction(folder, ending):
    arrays = {"X_train": X, "y_test": np.ones((1, 4))}
    path = folder / f"a{ending}"
    (savemat if ending == ".mat" else lambda path, all_: np.savez(path, **all_))(
        path, arrays
    )
    rows = load_rows(path, n_features=X.shape[1])
    np.testing.assert_array_equal(rows.X, X)
    assert rows.y is None


def test_two_files_of_targets_are_not_guessed(folder):
    for name in ("X_test", "y_test", "test_y"):
        np.save(folder / f"{name}.npy", X if name[0] == "X" else X[:, 0] > 0)
    with pytest.raises(DataError, match=r"several arrays for one purpose: .*test_y"):
        load_rows(folder / "X_test.npy", n_features=X.shape[1])
