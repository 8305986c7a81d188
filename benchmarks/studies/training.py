"""One run of a study: train a net as a setting says, and measure it.

A setting is a dict with data, data_home, hidden, density or epsilon, method, options of
the method, epochs, lr, momentum, batch_size, dropout, seed, and what to measure.
"""

import functools
import time
from typing import Any

import numpy as np
import scipy.sparse

from truesparse import SparseMLP, Trainer, datasets
from truesparse.analysis import (
    PERTURBATIONS,
    adversarial,
    layer_ranks,
    robustness,
    structure,
)
from truesparse.analysis.spectra import total
from truesparse.analysis.sweeps import Result, Setting
from truesparse.datasets import Dataset
from truesparse.errors import DivergedError
from truesparse.optimizers import Optimizer
from truesparse.plots.counts import out_degrees, out_strengths
from truesparse.topology import make

# Full nets that are pruned after training.
DENSE = "dense"


def train_and_measure(setting: Setting) -> Result:
    """Return accuracies by epoch and the measures that the setting names.

    A run that diverges has an accuracy of None, and no measures.
    """
    data = load(setting["data"], setting["data_home"])
    model = make_model(setting, data)
    started = time.perf_counter()
    is_dense = setting["method"] == DENSE
    topology = "static" if is_dense else setting["method"]
    trainer = Trainer(
        model,
        optimizer=Optimizer("sgd", setting["momentum"]),
        lr=setting["lr"],
        topology=make(topology, **({} if is_dense else setting["options"])),
        epochs=setting["epochs"],
        batch_size=setting["batch_size"],
    )
    try:
        records = trainer.fit(
            data.X_train, data.y_train, X_val=data.X_test, y_val=data.y_test
        )
    except DivergedError:
        return {"accuracy": None, "accuracies": []}
    accuracies = [float(record.val_score) for record in records]
    result: Result = {
        "accuracies": accuracies,
        "losses": [float(record.train_loss) for record in records],
        "best": max(accuracies),
        "seconds": time.perf_counter() - started,
    }
    if is_dense:
        model = pruned(model, setting["density"])
    result["accuracy"] = model.evaluate(data.X_test, data.y_test)[1]
    result["densities"] = [layer.connections.density for layer in model.layers]
    measures = {"robustness": _robustness, "ranks": _ranks, "inputs": _inputs}
    for name in setting["measures"]:
        result |= measures[name](model, data, setting)
    return result


@functools.lru_cache(maxsize=2)
def load(name: str, data_home: str | None) -> Dataset:
    """Return a data set, once for all runs of a process."""
    return datasets.load(name, data_home)


def make_model(setting: Setting, data: Dataset) -> SparseMLP:
    """Return a net with a dense read-out; the densities of the others are the same."""
    n_classes = len(data.classes)
    sizes = [data.X_train.shape[1], *setting["hidden"]]
    options: dict[str, Any] = {
        "dropout": setting["dropout"],
        "seed": setting["seed"],
        "epsilon": setting.get("epsilon"),
    }
    if options["epsilon"] is None:
        is_dense = setting["method"] == DENSE
        options["density"] = 1.0 if is_dense else setting["density"]
    # Layers are drawn by number, so that the last of these is left out.
    hidden = SparseMLP([*sizes, n_classes], **options).layers[:-1]
    seed = setting["seed"]
    read_out = SparseMLP([sizes[-1], n_classes], density=1.0, seed=seed).layers
    return SparseMLP.from_layers([*hidden, *read_out], seed=seed)


def pruned(model: SparseMLP, density: float) -> SparseMLP:
    """Return a model with the largest weights of each layer before the read-out."""
    weights = model.to_scipy(copy=True)
    for index, matrix in enumerate(weights[:-1]):
        n_left = round(density * matrix.shape[0] * matrix.shape[1])
        sizes = np.abs(matrix.data)
        stays = np.argpartition(sizes, sizes.size - n_left)[sizes.size - n_left :]
        rows, columns = matrix.tocoo().coords
        parts = matrix.data[stays], (rows[stays], columns[stays])
        weights[index] = scipy.sparse.coo_array(parts, shape=matrix.shape)
    biases = [layer.bias for layer in model.layers]
    return SparseMLP.from_sparse(weights, biases, loss=model.loss, seed=model.seed)


def _robustness(model: SparseMLP, data: Dataset, setting: Setting) -> Result:
    samples, points = (data.X_test, data.y_test), setting["points"]
    seeds = setting["perturbation_seeds"]
    curves = [
        robustness(model, *samples, name, fractions=points, seeds=seeds)
        for name in PERTURBATIONS
    ]
    curves.append(adversarial(model, *samples, fractions=points))
    return {"curves": [curve.to_json() for curve in curves]}


def _ranks(model: SparseMLP, data: Dataset, setting: Setting) -> Result:
    ranks = layer_ranks(model)
    summed = total(ranks)
    edges = np.linspace(-1.0, 1.0, 81)
    values = [layer.connections.values for layer in model.layers[:-1]]
    return {
        "effective_rank": summed.effective,
        "stable_rank": summed.stable,
        "ranks": [[each.effective, each.stable] for each in ranks],
        "active": structure(model).active,
        "weight_edges": edges.tolist(),
        "weights": [np.histogram(each, edges)[0].tolist() for each in values],
    }


def _inputs(model: SparseMLP, data: Dataset, setting: Setting) -> Result:
    first = model.layers[0].connections
    return {
        "input_degrees": out_degrees(first).tolist(),
        "input_strengths": out_strengths(first).round(4).tolist(),
    }
