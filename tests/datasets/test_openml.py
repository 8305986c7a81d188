"""Downloads from OpenML, with a stand-in for the network."""

import http.client
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from support.datasets_invariants import assert_sound

from truesparse.datasets import SOURCES, default_data_home, load, openml, save_npz
from truesparse.errors import DataError

# The real sources in small: 4 x 4 pixels; 3 classes; 6 rows, the last 3 for test.
SMALL = {
    "mnist": openml.Source(554, "mnist_784", 6, 16, 3, 3),
    "cifar10": openml.Source(40927, "CIFAR_10", 6, 16, 3, 3, True),
    "madelon": openml.Source(1485, "madelon", 6, 16, 3),
    "higgs": openml.Source(23512, "higgs", 6, 16, 3),
}
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 16))
DIGITS = np.array(["0", "7", "4", "4", "0", "7"], dtype=object)


class Network:
    """Stands in for fetch_openml: returns or raises `answer`, and counts calls."""

    def __init__(self):
        self.calls = []
        self.answer = None

    def __call__(self, *, data_id, data_home, as_frame, parser):
        self.calls.append((data_id, as_frame, parser))
        assert Path(data_home).is_dir()
        if isinstance(self.answer, Exception):
            raise self.answer
        data, target, name = self.answer
        return SimpleNamespace(data=data, target=target, details={"name": name})


@pytest.fixture
def network(monkeypatch):
    stand_in = Network()
    monkeypatch.setattr(openml.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", stand_in)
    for name, source in SMALL.items():
        monkeypatch.setitem(SOURCES, name, source)
    return stand_in


def test_ids_are_those_of_openml():
    ids = {name: source.data_id for name, source in SOURCES.items()}
    assert ids == {
        "mnist": 554,
        "fashion_mnist": 40996,
        "emnist_balanced": 41039,
        "cifar10": 40927,
        "madelon": 1485,
        "higgs": 23512,
    }


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_fetched_once_then_loaded_offline_with_the_standard_split(
    tmp_path, network, name
):
    network.answer = (PIXELS.astype(float), DIGITS, SMALL[name].title)
    fetched = load(name, tmp_path / "new" / "home", fetch=True, scale="none")
    network.answer = AssertionError("a cached set is not fetched again")
    cached = load(name, tmp_path / "new" / "home", fetch=True, scale="none")
    offline = load(name, tmp_path / "new" / "home", scale="none")
    assert network.calls == [(SMALL[name].data_id, False, "auto")]
    for data in (fetched, cached, offline):
        assert_sound(data)
        np.testing.assert_array_equal(data.X_train, PIXELS[:3])
        np.testing.assert_array_equal(data.X_test, PIXELS[3:])
        assert data.classes.tolist() == [0, 4, 7]
        assert data.y_test.tolist() == [1, 0, 2]
    files = list((tmp_path / "new" / "home").iterdir())
    assert [file.name for file in files] == [f"{name}.npz"]
    with np.load(files[0]) as archive:
        assert archive["X_train"].dtype == np.uint8


def test_sets_without_a_test_part_are_split_and_lose_missing_rows(tmp_path, network):
    features = np.random.default_rng(0).standard_normal((6, 16))
    features[0, 3:5] = np.nan
    network.answer = (features, np.array([1.0, 0, 2, 0, 1, 2]), "higgs")
    data = load("higgs", tmp_path, fetch=True, test_fraction=0.4, dtype=np.float64)
    assert_sound(data, np.float64)
    assert len(data.y_train) + len(data.y_test) == 5
    assert data.classes.tolist() == [0, 1, 2]


def test_not_fetched_unless_asked(tmp_path, network):
    with pytest.raises(DataError) as caught:
        load("mnist", tmp_path)
    message = str(caught.value)
    assert "load('mnist', fetch=True)" in message
    assert "put mnist.npz with X_train, y_train, X_test, y_test" in message
    assert str(tmp_path) in message
    assert "\n" not in message
    assert network.calls == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        URLError("Name or service not known"),
        TimeoutError("timed out"),
        http.client.IncompleteRead(b""),
        EOFError(),
        ValueError("The md5 checksum of the file\ndoes not match"),
        ImportError("pandas is too old"),
    ],
)
def test_failed_fetch_says_why_and_what_else_to_do(tmp_path, network, error):
    network.answer = error
    with pytest.raises(DataError, match="cannot fetch 'mnist' from OpenML: ") as caught:
        load("mnist", tmp_path, fetch=True)
    assert "put mnist.npz with" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("mnist", (PIXELS, DIGITS, "letters"), "id 554 is 'letters' of shape"),
        ("mnist", (PIXELS[:5], DIGITS[:5], "mnist_784"), r"of shape \(5, 16\), not"),
        ("mnist", (PIXELS, DIGITS == "7", "mnist_784"), "has 2 classes, not 3"),
        ("cifar10", (PIXELS, np.sort(DIGITS), "CIFAR_10"), "is not in the usual order"),
    ],
)
def test_another_set_than_expected_is_refused(tmp_path, network, name, answer, message):
    network.answer = answer
    with pytest.raises(DataError, match=message):
        load(name, tmp_path, fetch=True)
    assert not list(tmp_path.iterdir())


def test_pixels_that_are_not_whole_numbers_keep_their_type(tmp_path, network):
    network.answer = (PIXELS / 255, DIGITS, "mnist_784")
    load("mnist", tmp_path, fetch=True)
    with np.load(tmp_path / "mnist.npz") as archive:
        np.testing.assert_array_equal(archive["X_train"], PIXELS[:3] / 255)


def test_text_labels_and_object_features_are_stored_without_pickle(tmp_path, network):
    names = np.array(["up", "down", "flat", "up", "down", "flat"], dtype=object)
    network.answer = (PIXELS.astype(object), names, "madelon")
    data = load("madelon", tmp_path, fetch=True, test_fraction=0.5)
    assert data.classes.tolist() == ["down", "flat", "up"]


def test_slower_parser_without_pandas(tmp_path, network, monkeypatch):
    monkeypatch.setattr(openml.importlib.util, "find_spec", lambda name: None)
    network.answer = (PIXELS, DIGITS, "mnist_784")
    load("mnist", tmp_path, fetch=True)
    assert network.calls == [(554, False, "liac-arff")]


def test_own_file_of_another_width_is_refused(tmp_path, network):
    save_npz(tmp_path / "mnist.npz", PIXELS[:, :9], [0, 1, 0, 1, 0, 1])
    with pytest.raises(DataError, match="mnist has 16 features"):
        load("mnist", tmp_path)


def test_data_home_that_cannot_be_made_is_a_data_error(tmp_path, network):
    (tmp_path / "file").write_text("in the way")
    network.answer = (PIXELS, DIGITS, "mnist_784")
    with pytest.raises(DataError, match="cannot fetch"):
        load("mnist", tmp_path / "file" / "home", fetch=True)


def test_default_data_home_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUESPARSE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_data_home() == tmp_path
    monkeypatch.delenv("TRUESPARSE_DATA")
    assert default_data_home() == Path("/cache/truesparse")
    monkeypatch.setenv("HOME", "/home/me")
    for relative in ("", "cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", relative)
        assert default_data_home() == Path("/home/me/.cache/truesparse")
