"""Runs with activations in bfloat16: every topology, model files, exact resuming."""

import json

import numpy as np
import pytest
from support import tensor_files
from support.training import (
    algorithm,
    arrays_of,
    assert_same_arrays,
    hashes_may_wrap,
    make_model,
    make_problem,
    make_trainer,
)

import truesparse
from truesparse import Trainer, checkpoint
from truesparse.callbacks import Checkpoint
from truesparse.errors import ModelFileError, UsageError
from truesparse.topology import ALGORITHMS

pytestmark = hashes_may_wrap

X, Y = make_problem()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_topology_trains_and_learns(name):
    settings = {"dropout": 0.0, "activation_dtype": "bfloat16"}
    if name in ("lottery", "magnitude"):
        settings |= {"density": 1.0, "epsilon": None}
    model = make_model(**settings)
    before = [layer.connections.indices.copy() for layer in model.layers]
    trainer = make_trainer(model, topology=algorithm(name), epochs=12, lr=0.1)
    history = trainer.fit(X, Y, X_val=X, y_val=Y)
    assert history[-1].train_loss < 0.6 * history[0].train_loss
    is_same = [
        np.array_equal(layer.connections.indices, indices)
        for layer, indices in zip(model.layers, before, strict=True)
    ]
    assert all(is_same) == (name == "static")
    assert all(array.dtype != np.uint16 for array in arrays_of(model))


def test_it_learns_what_float32_learns():
    settings = {"topology": "static", "epochs": 20}
    losses = [
        make_trainer(activation_dtype=name, **settings).fit(X, Y)[-1].train_loss
        for name in ("float32", "bfloat16")
    ]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_the_trainer_changes_the_model_if_asked():
    model = make_model(activation_dtype="bfloat16")
    assert Trainer(model).model.activation_dtype == "bfloat16"
    Trainer(model, activation_dtype="float32")
    assert model.activation_dtype == "float32"
    with pytest.raises(UsageError, match="bfloat16 needs the dtype float32"):
        Trainer(make_model(dtype="float64"), activation_dtype="bfloat16")


def test_a_model_file_is_of_float32_and_predicts_alike(tmp_path):
    model = make_model(activation_dtype="bfloat16", activation="srelu")
    path = truesparse.save(model, tmp_path / "m")
    tensors, metadata = tensor_files.read(path)
    assert {t.dtype.name for t in tensors.values()} <= {"float32", "int32", "int64"}
    loaded = truesparse.load(path)
    assert loaded.activation_dtype == "bfloat16"
    outputs = loaded.decision_function(X)
    np.testing.assert_array_equal(outputs, model.decision_function(X))
    # Without a word, as versions before this wrote files, it is the dtype of weights.
    description = json.loads(metadata["truesparse"])
    assert description.pop("activation_dtype") == "bfloat16"
    tensor_files.write(path, tensors, {"truesparse": json.dumps(description)})
    assert truesparse.load(path, verify=False).activation_dtype == "float32"
    plain = truesparse.save(make_model(), tmp_path / "plain")
    _, metadata = tensor_files.read(plain)
    assert "activation_dtype" not in metadata["truesparse"]


@pytest.mark.parametrize("name", ["float16", "float64", 3])
def test_a_file_with_another_name_is_refused(name, tmp_path):
    path = truesparse.save(make_model(activation_dtype="bfloat16"), tmp_path / "m")
    tensors, metadata = tensor_files.read(path)
    description = json.loads(metadata["truesparse"]) | {"activation_dtype": name}
    tensor_files.write(path, tensors, {"truesparse": json.dumps(description)})
    with pytest.raises(ModelFileError, match="activation_dtype"):
        truesparse.load(path, verify=False)


def start(path):
    """Train for two of four epochs and return the checkpoint, and a whole run."""
    settings = {"activation_dtype": "bfloat16", "activation": "gelu", "dropout": 0.2}
    options = {"topology": algorithm("rigl"), "epochs": 4}
    whole = make_trainer(make_model(**settings), **options)
    whole.fit(X, Y)
    first = make_trainer(
        make_model(**settings),
        topology=algorithm("rigl"),
        epochs=4,
        callbacks=Checkpoint(path),
    )
    first.fit(X, Y, until=2)
    return checkpoint.read(path), whole


def test_a_run_is_resumed_bit_by_bit(tmp_path):
    saved, whole = start(tmp_path / "c")
    assert saved.activation_dtype == saved.model.activation_dtype == "bfloat16"
    second = make_trainer(saved.model, topology=algorithm("rigl"), epochs=4)
    second.fit(X, Y, run=saved.resume(second))
    assert_same_arrays(second.model, whole.model)


def test_a_run_is_not_resumed_with_another(tmp_path):
    saved, _ = start(tmp_path / "c")
    options = {"topology": algorithm("rigl"), "activation_dtype": "float32"}
    other = make_trainer(saved.model, **options, epochs=4)
    with pytest.raises(UsageError, match="activation_dtype 'bfloat16', the trainer"):
        saved.resume(other)
