"""The estimate of a run from one dict of settings."""

import dataclasses

from truesparse.commands.estimate import (
    DataSize,
    NetPlan,
    TrainingPlan,
    estimate_run,
)
from truesparse.optimizers import Optimizer


def estimate(layer_sizes, optimizer=None, **settings):
    """Return the estimate of a run; settings are fields of any of the three plans."""
    optimizer = Optimizer("sgd") if optimizer is None else optimizer
    given = settings | {"layer_sizes": tuple(layer_sizes), "optimizer": optimizer}
    plans = []
    for kind in (NetPlan, TrainingPlan, DataSize):
        names = {field.name for field in dataclasses.fields(kind)} & set(given)
        plans.append(kind(**{name: given.pop(name) for name in names}))
    assert not given, f"no plan has {set(given)}"
    return estimate_run(*plans)
