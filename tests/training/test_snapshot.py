"""Snapshots: a finite model is in the file at all times, written now and then."""

import numpy as np
import pytest
from support.training import assert_same_arrays, make_model

from truesparse.errors import UsageError
from truesparse.optimizers import Optimizer
from truesparse.storage import models
from truesparse.training import snapshot
from truesparse.training.snapshot import Snapshot, has_finite_weights


class Watch:
    """A clock that stands still unless it is moved."""

    def __init__(self, monkeypatch):
        self.now, self.cost = 0.0, 0.0
        monkeypatch.setattr(snapshot.time, "perf_counter", lambda: self.now)
        save = models.save

        def slow_save(*arguments):
            self.now += self.cost
            return save(*arguments)

        monkeypatch.setattr(snapshot.models, "save", slow_save)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_is_finite(value):
    for name in ("values", "bias"):
        model = make_model()
        assert has_finite_weights(model)
        layer = model.layers[1]
        array = layer.bias if name == "bias" else layer.connections.values
        array[-1] = value
        assert not has_finite_weights(model)


def test_a_temporary_file_goes_when_the_run_ends():
    with Snapshot(make_model()) as taken:
        path = taken.path
        assert path.exists()
    assert not path.parent.exists()
    with pytest.raises(RuntimeError), Snapshot(make_model()) as taken:  # noqa: PT012
        path = taken.path
        raise RuntimeError
    assert not path.parent.exists()


def test_a_file_of_ones_own_stays(tmp_path):
    model = make_model()
    with Snapshot(model, tmp_path / "m.safetensors") as taken:
        assert_same_arrays(models.load(taken.path), model)
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_what_is_written_costs_a_twentieth_of_the_time(monkeypatch, tmp_path):
    model, watch = make_model(), Watch(monkeypatch)
    watch.cost = 1.0
    taken = Snapshot(model, tmp_path / "m")
    bias = model.layers[0].bias
    for seconds, written in ((10, False), (19.5, False), (21, True), (22, False)):
        watch.now = 1.0 + seconds
        bias[0] = seconds
        taken.take(model)
        assert (models.load(taken.path).layers[0].bias[0] == seconds) == written


def test_a_spoilt_model_is_never_written(tmp_path):
    model = make_model()
    taken = Snapshot(model, tmp_path / "m")
    taken._cost = 0.0
    model.layers[0].connections.values[0] = np.nan
    taken.take(model)
    assert has_finite_weights(models.load(taken.path))


def test_restoring(tmp_path):
    model = make_model()
    model.step = 7
    want = models.load(models.save(model, tmp_path / "want"))
    x = np.ones((2, model.layer_sizes[0]), np.float32)
    outputs = model.decision_function(x)
    taken = Snapshot(model, tmp_path / "m")
    model.allocate_moments(Optimizer())
    model.prepare(2)
    for each in model.layers:
        connections = each.connections
        dropped = np.arange(connections.nnz) % 3 == 0
        connections.rewire(dropped, np.zeros(0, np.int64), np.zeros(0, np.float32))
        connections.values[:] = np.nan
    model.step = 9
    taken.restore(model)
    assert model.step == 7
    assert_same_arrays(model, want)
    # The buffers fit the old topology again.
    np.testing.assert_array_equal(model.decision_function(x), outputs)
    np.testing.assert_array_equal(model.decision_function(x[:1]), outputs[:1])


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="cannot write model"):
        Snapshot(make_model(), tmp_path / "missing" / "m")
