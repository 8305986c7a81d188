"""The skeleton of a new algorithm in topology/README.md works as it stands there."""

import pathlib
import re
import textwrap

import numpy as np
from support.topology_net import Net
from support.training import Recorder, make_problem, make_trainer

from truesparse import topology
from truesparse.topology import ALGORITHMS, TopologyAlgorithm, UpdateSchedule

README = pathlib.Path(topology.__file__).with_name("README.md")


def skeleton():
    """Return the class that the one block of Python in the README defines."""
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names = {"__name__": "skeleton"}
    exec(compile(textwrap.dedent(block), str(README), "exec"), names)
    return names["Name"]


def test_the_skeleton_trains_once_it_is_registered(monkeypatch):
    algorithm = skeleton()
    assert issubclass(algorithm, TopologyAlgorithm)
    monkeypatch.setitem(ALGORITHMS, algorithm.name, algorithm)
    options = {"zeta": 0.4, "draws": 3, "schedule": UpdateSchedule(2, "step")}
    made = topology.make(algorithm.name, **options)
    assert (made.zeta, made.draws) == (0.4, 3)
    assert {"draws", "zeta", "final_share"} <= set(algorithm.options())
    trainer = make_trainer(topology=made, epochs=3, callbacks=[recorder := Recorder()])
    nnz = trainer.model.nnz
    history = trainer.fit(*make_problem())
    updates = recorder.of("topology_update")
    assert len(updates) > 2
    assert all(change.grown > 0 for update in updates for change in update[2])
    assert trainer.model.nnz == nnz
    assert history[-1].train_loss < history[0].train_loss


def test_the_skeleton_prefers_full_rows():
    net = Net()
    degrees = [mask.sum(axis=1) for mask in net.masks]
    changes = net.update(skeleton()(draws=10**6))
    for change, mask, before in zip(changes, net.masks, degrees, strict=False):
        grown = net.new_masks()[change.layer] & ~mask
        # All empty cells were drawn: no empty one is left in a fuller row.
        least = before[grown.any(axis=1)].min()
        left = ~net.new_masks()[change.layer]
        assert not left[np.flatnonzero(before > least)].any()
