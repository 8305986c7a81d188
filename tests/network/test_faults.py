"""Where numbers stopped being finite: each part of each layer is named."""

import numpy as np
import pytest

from truesparse import SparseMLP, Trainer
from truesparse.errors import DivergedError
from truesparse.estimators import SparseMLPClassifier
from truesparse.network import faults
from truesparse.training.events import Callback

X = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
Y = np.arange(12) % 3
OPTIONS = {"batch_size": 4, "epochs": 3, "lr": 0.01, "shuffle": False}


class Poison(Callback):
    """Do something to the model after a step."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_batch_end(self, run):
        if run.model.step == self.step:
            self.act(run.model.layers)


def diverge(act, step=2, activation="relu", **options):
    model = SparseMLP([5, 8, 7, 3], density=0.6, seed=1, activation=activation)
    trainer = Trainer(model, callbacks=[Poison(step, act)], **OPTIONS | options)
    with (
        np.errstate(all="ignore"),
        pytest.raises(DivergedError) as caught,
    ):
        trainer.fit(X, Y)
    return str(caught.value)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_weights(number):
    def poison(layers):
        layers[number - 1].connections.values[1] = np.inf

    text = diverge(poison)
    place = f"weights of layer {number} of 3 became NaN or infinite in step 2"
    assert f"in epoch 1, step 3 ({place}), at learning rate 0.01" in text


@pytest.mark.parametrize("number", [1, 2, 3])
def test_gradients(number):
    def poison(layers):
        # As an infinite gradient leaves them.
        layers[number - 1].connections.values[:] = np.nan
        layers[number - 1].connections.moments.first[:] = np.inf

    place = f"(gradients of layer {number} of 3 became NaN or infinite in step 2)"
    assert place in diverge(poison)


@pytest.mark.parametrize(("number", "size"), [(1, 3e38), (2, 1e38)])
def test_outputs(number, size):
    def poison(layers):
        # Finite, but not their sums.
        layers[number - 1].connections.values[:] = np.float32(size)
        layers[number - 1].bias[:] = np.float32(size)

    text = diverge(poison)
    place = f"(outputs of layer {number} of 3 became NaN or infinite in step 3)"
    assert place in text


def test_the_last_layer_of_several_is_where_it_began():
    model = SparseMLP([5, 8, 7, 3], density=0.6, seed=1)
    for layer in model.layers[:2]:
        layer.bias[0] = np.nan
    place = "weights of layer 2 of 3 became NaN or infinite in step 0"
    assert model.describe_fault() == place


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "srelu"])
def test_a_weight_that_spreads_before_the_loss_notices(
    activation, optimizer, value, number
):
    """Its decay and the outputs of its neuron used to be taken for gradients."""

    def poison(layers):
        layers[number - 1].connections.values[3] = value

    text = diverge(poison, optimizer=optimizer, activation=activation)
    assert f"(weights of layer {number} of 3 became NaN or infinite" in text
    assert "in step 2)" in text or "by step 3)" in text or "in step 3)" in text


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradients_that_overflow(number, optimizer):
    """An error of all neurons of a layer, as backward leaves it in those before."""

    def poison(layers):
        for layer in layers[:number]:
            for array in (layer.connections.values, layer.bias):
                array[:] = np.nan
            for moments in layer.all_moments():
                moments.first[:] = np.nan

    place = f"(gradients of layer {number} of 3 became NaN or infinite in step 2)"
    assert place in diverge(poison, optimizer=optimizer)


def test_a_loss_that_overflows_while_outputs_are_finite():
    """Nothing used to be named."""
    model = SparseMLP([5, 8, 1], density=0.6, seed=1, dtype="float64", loss="squared")
    trainer = Trainer(model, **OPTIONS)
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        trainer.fit(X.astype(np.float64), np.full(12, 1e200))
    place = "squared loss of layer 2 of 2, whose outputs are finite, became NaN or"
    assert f"in epoch 1, step 1 ({place} infinite in step 1)," in str(caught.value)


def test_a_sound_net_has_none():
    model = SparseMLP([5, 8, 3], density=0.6, seed=1)
    assert faults.describe(model.layers, 4) == ""


def test_an_estimator_names_it_too():
    net = SparseMLPClassifier((8,), learning_rate_init=1e30, solver="sgd", max_iter=3)
    with (
        np.errstate(all="ignore"),
        pytest.raises(DivergedError, match=r"of layer \d of 2 became NaN or infinite"),
    ):
        net.fit(X, Y)
