"""Weights of exactly 0, which Powerpropagation never moves, are refused."""

import numpy as np
import pytest
from support.training import make_model, make_problem, make_trainer

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.optimizers import Optimizer

POWERPROP = Optimizer("sgd", powerprop=2.0)


@pytest.mark.parametrize("name", ["set", "rigl"])
def test_new_connections_must_not_start_at_0(name):
    trainer = make_trainer(optimizer=POWERPROP, topology=name)
    with pytest.raises(UsageError, match=f"topology '{name}' start there; give it"):
        trainer.fit(*make_problem())
    # Without powers they may.
    often = topology.make(name, schedule=topology.UpdateSchedule(1, "step"))
    make_trainer(topology=often, epochs=1).fit(*make_problem())


@pytest.mark.parametrize(("name", "start"), [("ggr", "1e-10"), ("deepr", "1e-12")])
def test_new_connections_must_not_start_next_to_0(name, start):
    trainer = make_trainer(optimizer=POWERPROP, topology=name)
    wanted = f"weight of {start}, where new connections of topology '{name}' start"
    with pytest.raises(UsageError, match=wanted):
        trainer.fit(*make_problem())


@pytest.mark.parametrize("name", ["static", "chts", "set"])
def test_powerpropagation_combines_with_topologies(name):
    options = {} if name == "static" else {"regrow_init": "he_uniform"}
    algorithm = topology.make(name, **options)
    model = make_model()
    before = [layer.connections.values.copy() for layer in model.layers]
    make_trainer(model, optimizer=POWERPROP, topology=algorithm).fit(*make_problem())
    for layer, values in zip(model.layers, before, strict=True):
        assert not np.array_equal(layer.connections.values, values)


def test_weights_must_not_all_be_0():
    trainer = make_trainer(make_model(), optimizer=POWERPROP, topology="static")
    trainer.model.layers[1].connections.values[:] = 0.0
    with pytest.raises(UsageError, match="all weights of layer 1 are 0, where powerpr"):
        trainer.fit(*make_problem())
