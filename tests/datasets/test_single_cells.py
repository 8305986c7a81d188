"""Counts of cells: .h5ad, Matrix Market files and folders of 10x."""

import gzip

import numpy as np
import pytest
from scipy import sparse
from scipy.io import mmwrite
from support.data_files import assert_same_rows, raw

from truesparse.datasets import load, load_rows
from truesparse.errors import DataError, UsageError

h5py = pytest.importorskip("h5py")
X = np.random.default_rng(0).poisson(0.7, (24, 5)).astype(np.float32)
GENES = ["ACTB", "CD4", "CD8A", "FOXP3", "IL2"]
KINDS = np.array(["T cell", "B cell"], object)
CODES = np.arange(24) % 2
TEXT = h5py.string_dtype()


def write_h5ad(path, store=sparse.csr_array, codes=CODES, genes=GENES):
    """Write the layout of anndata 0.8 and later."""
    with h5py.File(path, "w") as file:
        if store is np.asarray:
            file["X"] = X
            file["X"].attrs["encoding-type"] = "array"
        else:
            matrix, group = store(X), file.create_group("X")
            group.attrs["encoding-type"] = f"{matrix.format}_matrix"
            group.attrs["shape"] = X.shape
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(matrix, name)
        var = file.create_group("var")
        var.attrs["_index"] = "gene_ids"
        var["gene_ids"] = np.array(genes, object).astype(TEXT)
        obs = file.create_group("obs")
        obs.attrs["_index"] = "_index"
        obs.attrs["column-order"] = np.array(["depth", "kind", "batch"], TEXT)
        obs["_index"] = np.array([f"cell{i}" for i in range(24)], object).astype(TEXT)
        obs["depth"] = X.sum(axis=1) + 0.5
        kind = obs.create_group("kind")
        kind.attrs["encoding-type"] = "categorical"
        kind["codes"] = codes.astype(np.int8)
        kind["categories"] = KINDS.astype(TEXT)
        batch = obs.create_group("batch")
        batch.attrs["encoding-type"] = "nullable-integer"
        batch["values"] = np.arange(24) % 3
        batch["mask"] = np.arange(24) < 1
    return path


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_h5ad_with_a_column_of_obs_as_the_target(folder, store):
    path = write_h5ad(folder / "a.h5ad", store)
    data, rows, y = raw(path, target="kind")
    assert data.is_sparse == (store is not np.asarray)
    assert data.feature_names == tuple(GENES)
    assert data.target_name == "kind"
    assert data.classes.tolist() == ["B cell", "T cell"]
    assert_same_rows(np.c_[rows, y], np.c_[X, 1 - CODES])
    data, rows, y = raw(path, target="depth")
    assert data.task == "regression"
    np.testing.assert_array_equal(rows.sum(axis=1) + 0.5, y[:, 0])


def test_h5ad_says_which_columns_may_be_the_target(folder):
    path = write_h5ad(folder / "a.h5ad")
    with pytest.raises(DataError, match=r"\('depth', 'kind', 'batch'\); say which"):
        load(path)
    with pytest.raises(UsageError, match="has no column of this name"):
        load(path, target="type")
    with pytest.raises(DataError, match="1 cells have no 'batch'"):
        load(path, target="batch")
    with pytest.raises(UsageError, match=r"means nothing for an \.h5ad file"):
        load(path, target="kind", drop="depth")
    gaps = np.where(np.arange(24) < 3, -1, CODES)
    path = write_h5ad(folder / "gaps.h5ad", codes=gaps)
    with pytest.raises(DataError, match="3 cells have no 'kind'"):
        load(path, target="kind")


def test_h5ad_for_a_model_finds_genes_by_name(folder):
    path = write_h5ad(folder / "a.h5ad")
    wanted = "IL2", "ACTB"
    rows = load_rows(path, n_features=2, feature_names=wanted, target_name="kind")
    np.testing.assert_array_equal(rows.X.toarray(), X[:, [4, 0]])
    assert rows.y.tolist() == KINDS[CODES].tolist()
    with pytest.raises(
        DataError, match=r"lacks 1 of the 1 genes .*: 'MYC'; add or rename"
    ):
        load_rows(path, n_features=1, feature_names=("MYC",))


def test_genes_of_one_name_are_refused_only_where_a_model_takes_them(folder):
    path = write_h5ad(folder / "a.h5ad", genes=["IL2", "CD4", "CD4", "ACTB", "MYC"])
    rows = load_rows(path, n_features=2, feature_names=("ACTB", "IL2"))
    np.testing.assert_array_equal(rows.X.toarray(), X[:, [3, 0]])
    # As many as there are: by their places they would be other genes.
    wanted = ("ACTB", "CD4", "CD8A", "IL2", "MYC")
    with pytest.raises(DataError, match=r"lacks 1 of the 5 genes .* 'CD8A'"):
        load_rows(path, n_features=5, feature_names=wanted)
    with pytest.raises(DataError, match="has 2 genes named 'CD4'"):
        load_rows(path, n_features=1, feature_names=("CD4",))
    assert load(path, target="kind").feature_names is None


def test_h5ad_without_h5py_says_what_to_install(folder, monkeypatch):
    path = write_h5ad(folder / "a.h5ad")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UsageError, match=r"pip install 'truesparse\[formats\]'"):
        load(path, target="kind")


def test_damaged_or_old_h5ad_is_refused(folder):
    (folder / "a.h5ad").write_bytes(write_h5ad(folder / "b.h5ad").read_bytes()[:900])
    with pytest.raises(DataError, match=r"cannot read .* as an .h5ad file"):
        load(folder / "a.h5ad")
    with h5py.File(folder / "c.h5ad", "w") as file:
        file["X"] = X
    with pytest.raises(DataError, match="lacks obs"):
        load(folder / "c.h5ad")


def write_10x(folder, end="", genes="features.tsv", labels=None):
    def write(name, text):
        data = text.encode()
        (folder / (name + end)).write_bytes(gzip.compress(data) if end else data)

    folder.mkdir(exist_ok=True)
    mmwrite(folder / "m.mtx", sparse.coo_array(X.T))
    write("matrix.mtx", (folder / "m.mtx").read_text())
    (folder / "m.mtx").unlink()
    write("barcodes.tsv", "".join(f"cell{i}-1\n" for i in range(24)))
    write(genes, "".join(f"ENSG{i}\t{name}\n" for i, name in enumerate(GENES)))
    if labels is not None:
        (folder / "labels.tsv").write_text(labels)
    return folder


LABELS = "".join(f"{KINDS[code]}\n" for code in CODES)
BY_BARCODE = "".join(f"cell{i}-1\t{KINDS[i % 2]}\n" for i in reversed(range(24)))


@pytest.mark.parametrize("labels", [LABELS, BY_BARCODE])
@pytest.mark.parametrize(("end", "genes"), [("", "genes.tsv"), (".gz", "features.tsv")])
def test_a_folder_of_10x_is_transposed(folder, end, genes, labels):
    cells = write_10x(folder / "pbmc", end, genes, labels)
    for path in (cells, cells / f"matrix.mtx{end}"):
        data, rows, y = raw(path)
        assert data.is_sparse
        assert data.feature_names == tuple(f"ENSG{i}" for i in range(5))
        assert data.classes.tolist() == ["B cell", "T cell"]
        assert_same_rows(np.c_[rows, y], np.c_[X, 1 - CODES])


def test_a_folder_without_labels_suits_a_model_only(folder):
    cells = write_10x(folder / "pbmc")
    with pytest.raises(DataError, match=r"has no labels; put labels\.tsv into it"):
        load(cells)
    rows = load_rows(cells, n_features=5)
    assert rows.y is None
    np.testing.assert_array_equal(rows.X.toarray(), X)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + "T cell\n", "has 25 lines, and there are 24 cells"),
        (BY_BARCODE.replace("cell7-1", "cell77-1"), "lacks 'cell7-1'"),
        (BY_BARCODE + "cell7-1\tT cell\n", "names a barcode twice"),
        (LABELS.replace("B cell", "NA", 1), "the cell 'cell1-1' has no label"),
    ],
)
def test_labels_that_do_not_belong_to_the_cells(folder, labels, message):
    with pytest.raises(DataError, match=message):
        load(write_10x(folder / "pbmc", labels=labels))


def test_cells_by_genes_are_refused(folder):
    cells = write_10x(folder / "pbmc", labels=LABELS)
    mmwrite(cells / "matrix.mtx", sparse.coo_array(X))
    with pytest.raises(DataError, match="rows must be the genes"):
        load(cells)


def test_a_matrix_alone_holds_features_only(folder):
    mmwrite(folder / "a.mtx", sparse.coo_array(X))
    with pytest.raises(DataError, match="holds features without a target"):
        load(folder / "a.mtx")
    rows = load_rows(folder / "a.mtx", n_features=5)
    np.testing.assert_array_equal(rows.X.toarray(), X)
    (folder / "b.mtx").write_text("%%MatrixMarket matrix coordinate real general\n1")
    with pytest.raises(DataError, match=r"cannot read .* as a Matrix Market file"):
        load_rows(folder / "b.mtx", n_features=5)
