"""HDF5 files that name other files, plugins or sizes of their own are refused."""

import zlib

import numpy as np
import pytest
from support.fuzz_data import h5ad, load_data, naive_h5ad

from truesparse.datasets import load
from truesparse.datasets.hdf5 import open_hdf5, read_whole
from truesparse.errors import DataError

h5py = pytest.importorskip("h5py")
PLUGIN = 32015  # zstd, which h5py does not have
VALUES = np.arange(24.0).reshape(4, 6)


@pytest.fixture
def path(tmp_path):
    h5ad(tmp_path / "a.h5ad")
    return tmp_path / "a.h5ad"


def move(file, name, to):
    """Put what leads elsewhere in place of a part of the file."""
    del file[name]
    file[name] = to


@pytest.mark.parametrize(
    "name", ["X", "obs", "var", "X/data", "X/indptr", "obs/y", "obs/y/codes"]
)
@pytest.mark.parametrize("kind", ["external", "soft"])
def test_other_places_are_not_read(path, name, kind):
    h5ad(path.with_name("other.h5ad"))
    with h5py.File(path, "a") as file:
        if kind == "external":
            to = h5py.ExternalLink("other.h5ad", f"/{name}")
        else:
            file["spare"] = file[name]
            to = h5py.SoftLink("/spare")
        move(file, name, to)
        assert name in file  # libhdf5 would follow
    with pytest.raises(DataError, match="the name of something that lies elsewhere"):
        load(path, target="y")


def test_an_array_of_another_file_is_not_read(path):
    secret = path.with_name("secret")
    secret.write_bytes(bytes(800))
    with h5py.File(path, "a") as file:
        n = len(file["X/data"])
        layout = h5py.VirtualLayout((n,), "f8")
        layout[:] = h5py.VirtualSource(str(path.with_name("b.h5")), "data", (n,))
        del file["X/data"]
        file.create_virtual_dataset("X/data", layout)
    with pytest.raises(DataError, match="values of /X/data lie in another file"):
        load(path, target="y")
    with h5py.File(path, "a") as file:
        del file["X/data"]
        lies = [(str(secret), 0, 800)]
        file["X"].create_dataset("data", shape=(n,), dtype="f8", external=lies)
    with pytest.raises(DataError, match="values of /X/data lie in another file"):
        load(path, target="y")


def stored(path, filters=(), values=VALUES, chunk=None, mask=0):
    """Write an array with filters, by their numbers, and perhaps a chunk of bytes."""
    with h5py.File(path, "w") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk(values.shape)
        for number in filters:
            size = (9,) if number == 1 else ()
            layout.set_filter(number, h5py.h5z.FLAG_OPTIONAL, size)
        space = h5py.h5s.create_simple(values.shape)
        kind = h5py.h5t.py_create(values.dtype)
        number = h5py.h5d.create(file.id, b"a", kind, space, layout)
        if chunk is None:
            number.write(space, space, values)
        else:
            number.write_direct_chunk((0,) * values.ndim, chunk, mask)
    return path


def read(path):
    with open_hdf5(path, "a test") as file:
        return read_whole(file["a"])


@pytest.mark.parametrize("filters", [(), (1,), (2, 1), (2, 1, 3), (3, 1), (2, 32000)])
def test_built_in_filters_are_read(tmp_path, filters):
    np.testing.assert_array_equal(read(stored(tmp_path / "a", filters)), VALUES)


@pytest.mark.parametrize("filters", [(PLUGIN,), (4,), (6,), (1, 1), (32000, 1)])
def test_plugins_and_packed_packages_are_refused(tmp_path, filters):
    with pytest.raises(DataError, match=r"HDF5's filters \[.*; pack it with gzip"):
        read(stored(tmp_path / "a", filters, chunk=zlib.compress(VALUES.tobytes())))


def test_a_chunk_may_be_stored_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("truesparse.datasets.hdf5._SMALL", 0)
    path = stored(tmp_path / "a", (1,), chunk=VALUES.tobytes(), mask=1)
    np.testing.assert_array_equal(read(path), VALUES)


@pytest.mark.parametrize("filters", [(1,), (2, 1), (2, 1, 3), (3, 1)])
def test_a_doubtful_chunk_is_read_if_its_size_is_right(tmp_path, monkeypatch, filters):
    monkeypatch.setattr("truesparse.datasets.hdf5._SMALL", 0)
    monkeypatch.setattr("truesparse.datasets.hdf5._STEP", 10)
    np.testing.assert_array_equal(read(stored(tmp_path / "a", filters)), VALUES)


def test_a_chunk_that_unpacks_to_more_is_refused(tmp_path, monkeypatch):
    longer = zlib.compress(VALUES.tobytes() + bytes(5))
    path = stored(tmp_path / "a", (1,), chunk=longer)
    np.testing.assert_array_equal(read(path), VALUES)  # libhdf5 ignores the end
    monkeypatch.setattr("truesparse.datasets.hdf5._SMALL", 0)
    with pytest.raises(DataError, match="chunk of /a unpacks to more than its 192 b"):
        read(path)


@pytest.mark.parametrize(
    "values", [np.zeros(3, "c16"), np.zeros(3, [("a", "f8")]), np.zeros(3, "S2")]
)
def test_what_is_no_number_is_refused(tmp_path, values):
    with pytest.raises(DataError, match=r"/a holds .* values"):
        read(stored(tmp_path / "a", values=values))


def test_what_the_fuzzer_writes_is_read(path):
    assert load_data(path, target="y") == naive_h5ad(path.read_bytes())


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        (8, 1 << 40, "the heap at byte .* has no valid size"),
        (8, 8, "the heap at byte .* has no valid size"),
        (16, 0, "in the heap at byte .* an object is damaged"),
        (24, 1 << 40, "in the heap at byte .* an object is damaged"),
        (24, 2**64 - 16, "in the heap at byte .* an object is damaged"),
    ],
)
def test_text_in_a_damaged_heap_is_not_read(path, place, content, message):
    """libhdf5 reads an object of number 0 and no bytes again and again."""
    data = bytearray(path.read_bytes())
    start = data.index(b"GCOL")
    if place == 16:
        data[start + 16 : start + 32] = bytes(16)
    else:
        data[start + place : start + place + 8] = content.to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        load(path, target="y")


def test_every_heap_is_looked_at(path):
    """The last object of the last heap that text takes."""
    with h5py.File(path, "a") as file:
        del file["obs/_index"]
        file["obs/_index"] = ["x" * 3000] * 30
    data = bytearray(path.read_bytes())
    assert data.count(b"GCOL\1\0\0\0") > 2
    place = data.rindex(b"x" * 3000) - 16
    data[place : place + 16] = bytes(16)
    path.write_bytes(data)
    with pytest.raises(DataError, match="an object is damaged"):
        load(path, target="y")


def test_text_that_claims_more_than_the_file_is_not_read(path):
    with h5py.File(path) as file:
        start = file["obs/y/categories"].id.get_offset()
    data = bytearray(path.read_bytes())
    assert data[start : start + 4] == (2).to_bytes(4, "little")  # of "no"
    data[start : start + 4] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a text of .* claims 1,073,741,824 bytes"):
        load(path, target="y")


@pytest.mark.parametrize(
    ("filters", "size"), [((2, 1, 3), 0), ((1,), 1 << 20), ((), 9)]
)
def test_chunks_of_no_possible_size_are_refused(tmp_path, filters, size):
    """libhdf5 ends the process at the first of these."""
    path = stored(tmp_path / "a", filters)
    with h5py.File(path) as file:
        chunk = file["a"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    # In the tree of chunks: size, mask, offsets, the place of the chunk.
    key = chunk.size.to_bytes(4, "little") + bytes(4 + 8 * 3)
    key += chunk.byte_offset.to_bytes(8, "little")
    assert data.count(key) == 1
    place = data.index(key)
    data[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"a chunk of /a has {size:,} bytes"):
        read(path)


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_arrays_of_a_sparse_matrix_belong_together(path, name):
    with h5py.File(path, "a") as file:
        array = file[f"X/{name}"][()]
        n = len(file["X/data"])
        del file[f"X/{name}"]
        # A chunk of the bounds that is lost reads as zeros.
        file[f"X/{name}"] = 0 * array if name == "indptr" else array[:-1]
    counts = {"data": (n - 1, n, n), "indices": (n, n - 1, n), "indptr": (n, n, 0)}
    said = "/X has {} values and {} indices, but its bounds end at {}"
    with pytest.raises(DataError, match=said.format(*counts[name])):
        load(path, target="y")


@pytest.mark.parametrize("room", [0, 3])
def test_matlab_may_leave_room_behind_the_values(tmp_path, room):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs["MATLAB_sparse"] = np.uint64(4)
        group.attrs["MATLAB_class"] = np.bytes_("double")
        group["data"] = np.append(np.arange(1.0, 5.0), np.zeros(room))
        group["ir"] = np.append(np.arange(4), np.zeros(room)).astype(np.uint64)
        group["jc"] = np.arange(5, dtype=np.uint64)
        file["y"] = np.arange(4.0)[None] % 2
        file["y"].attrs["MATLAB_class"] = np.bytes_("double")
    data = load(path)
    rows = np.vstack([data.X_train.toarray(), data.X_test.toarray()])
    # Scaled, in another order.
    assert sorted(map(tuple, rows)) == sorted(map(tuple, np.eye(4)))
