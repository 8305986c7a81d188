"""One run of a study: train a net as a setting says, and measure it.

A setting is a dict with data, hidden, density or epsilon, method, options of the
method, epochs, lr, momentum, batch_size, dropout, seed, and what to measure; some have
weight_decay, lr_final (the share of the learning rate that it falls to), init_topology,
and weight_init. With `all_sparse` the read-out is as sparse as the other layers, else
it is dense. Where data sets and trained models lie on a machine is not part of it, so
that a journal can be resumed elsewhere.
"""

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from truesparse import SparseMLP, Trainer, datasets, save
from truesparse.analysis import (
    PERTURBATIONS,
    adversarial,
    layer_ranks,
    robustness,
    structure,
)
from truesparse.analysis.spectra import total
from truesparse.analysis.sweeps import Result, Setting
from truesparse.callbacks import Callback
from truesparse.datasets import Dataset
from truesparse.errors import DivergedError
from truesparse.optimizers import Optimizer
from truesparse.plots.counts import out_degrees
from truesparse.schedules import LearningRate
from truesparse.topology import TopologyAlgorithm, UpdateSchedule, make

from ..stored import git_commit

# Full nets that are pruned after training.
DENSE = "dense"


def train_and_measure(
    setting: Setting, data_home: str | None = None, models: Path | None = None
) -> Result:
    """Return accuracies by epoch and the measures that the setting names.

    A run that diverges has an accuracy of None, and no measures. A setting that has a
    `file` is saved under that name in the folder `models`.
    """
    data = load(setting["data"], data_home)
    model = make_model(setting, data)
    started = time.perf_counter()
    is_dense = setting["method"] == DENSE
    trainer = Trainer(
        model,
        optimizer=make_optimizer(setting),
        lr=LearningRate(setting["lr"], "linear", final=setting.get("lr_final", 1.0)),
        topology=make_topology(setting),
        epochs=setting["epochs"],
        batch_size=setting["batch_size"],
        callbacks=[log := DensityLog()],
    )
    result: Result = {"commit": git_commit()}
    try:
        records = trainer.fit(
            data.X_train, data.y_train, X_val=data.X_test, y_val=data.y_test
        )
    except DivergedError:
        return result | {"accuracy": None, "accuracies": []}
    accuracies = [float(record.val_score) for record in records]
    result |= {
        "accuracies": accuracies,
        "losses": [float(record.train_loss) for record in records],
        "best": max(accuracies),
        "seconds": time.perf_counter() - started,
    }
    if is_dense and "density" in setting:
        model = pruned(model, setting["density"])
    result["accuracy"] = model.evaluate(data.X_test, data.y_test)[1]
    result["densities"] = [layer.connections.density for layer in model.layers]
    if "structure" in setting["measures"]:
        result["densities_by_epoch"] = log.densities
    measures = {
        "robustness": _robustness,
        "ranks": _ranks,
        "inputs": _inputs,
        "structure": _structure,
    }
    for name in setting["measures"]:
        result |= measures[name](model, data, setting)
    if models is not None and "file" in setting:
        path = models / f"{setting['file']}.safetensors"
        models.mkdir(parents=True, exist_ok=True)
        save(model, path)
        result["model"] = path.name
    return result


class DensityLog(Callback):
    """Keeps the densities of all layers after each epoch."""

    def __init__(self) -> None:
        self.densities: list[list[float]] = []

    def on_epoch_end(self, run: Any, record: Any) -> None:
        """Add the densities of this epoch."""
        layers = run.model.layers
        self.densities.append([layer.connections.density for layer in layers])


@functools.lru_cache(maxsize=2)
def load(name: str, data_home: str | None) -> Dataset:
    """Return a data set, once for all runs of a process."""
    return datasets.load(name, data_home)


def make_model(setting: Setting, data: Dataset) -> SparseMLP:
    """Return the net of a setting, untrained."""
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
    for name in ("init_topology", "weight_init"):
        if name in setting:
            options[name] = setting[name]
    if setting.get("all_sparse"):
        return SparseMLP([*sizes, n_classes], **options)
    # Layers are drawn by number, so that the last of these is left out.
    hidden = SparseMLP([*sizes, n_classes], **options).layers[:-1]
    seed = setting["seed"]
    read_out = SparseMLP([sizes[-1], n_classes], density=1.0, seed=seed).layers
    return SparseMLP.from_layers([*hidden, *read_out], seed=seed)


def make_optimizer(setting: Setting) -> Optimizer:
    """Return the optimiser of a setting."""
    decay = setting.get("weight_decay", 0.0)
    return Optimizer("sgd", setting["momentum"], weight_decay=decay)


def make_topology(setting: Setting) -> TopologyAlgorithm:
    """Return the topology of a setting, whose schedule is a dict in a journal."""
    if setting["method"] == DENSE:
        return make("static")
    options = dict(setting["options"])
    if "schedule" in options:
        options["schedule"] = UpdateSchedule(**options["schedule"])
    return make(setting["method"], **options)


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


def _structure(model: SparseMLP, data: Dataset, setting: Setting) -> Result:
    measured = structure(model)
    layers = measured.layers
    return {
        "empty_neurons": [layer.empty_outputs / layer.n_out for layer in layers],
        "empty_inputs": [layer.empty_inputs / layer.n_in for layer in layers],
        "remaining_cells": [layer.remaining_cells for layer in layers],
        "cells": [layer.n_in * layer.n_out for layer in layers],
        "nnz": [layer.nnz for layer in layers],
        "neurons": measured.neurons,
        "active": measured.active,
    }


def _inputs(model: SparseMLP, data: Dataset, setting: Setting) -> Result:
    first = model.layers[0].connections
    degrees = out_degrees(first)
    sums = first.to_scipy().sum(axis=1, dtype=np.float64)
    mean_image = np.asarray(data.X_train.mean(axis=0)).ravel()
    known = degrees.std() > 0.0 and mean_image.std() > 0.0
    correlation = np.corrcoef(degrees, mean_image)[0, 1] if known else 0.0
    return {
        "input_degrees": degrees.tolist(),
        "input_sums": sums.round(4).tolist(),
        "image_correlation": float(correlation),
    }
