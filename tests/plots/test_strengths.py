"""Strengths against sums of dense weights."""

import numpy as np
import pytest
from support.drawing import drawn, model_of, random_masks, steps_of

from truesparse import SparseMLP, plots


def test_strengths_are_sums_of_dense_weights():
    (mask,) = random_masks(30, 200)
    mask[4] = False
    model = model_of(mask)
    values = model.layers[0].connections.values
    values[:] = np.random.default_rng(0).standard_normal(values.size)
    display = drawn(plots.StrengthDisplay.from_model(model))
    dense = np.abs(model.layers[0].connections.to_scipy().toarray().astype(float))
    for each, wanted, bars in zip(
        display.strengths,
        (dense.sum(axis=1), dense.sum(axis=0)),
        display.bars_,
        strict=True,
    ):
        shares, edges = steps_of(bars)
        np.testing.assert_allclose(edges[-1], wanted.max())
        # An edge is a sum in another order.
        counts = np.histogram(wanted, edges * (1 + 1e-12))[0]
        np.testing.assert_allclose(shares, counts / wanted.size)
        assert shares.sum() == pytest.approx(1.0)
        facts = each.lowest, each.mean, each.highest
        assert facts == pytest.approx((wanted.min(), wanted.mean(), wanted.max()))
    out, inwards = display.ax_
    assert out.get_title() == "layer 1: 30 input neurons, 1 at 0"
    assert inwards.get_title() == "layer 1: 200 output neurons"
    # A few strong neurons leave bars too low to see, but on a log axis.
    values[model.layers[0].connections.rows() == 7] *= 1000
    strong = drawn(plots.StrengthDisplay.from_model(model))
    assert (out.get_yscale(), strong.ax_[0].get_yscale()) == ("linear", "log")


def test_strengths_far_from_0_fill_their_axis():
    display = plots.StrengthDisplay.from_model(model_of(np.ones((300, 200), bool)))
    for each in display.strengths:
        assert each.edges[0] == each.lowest > 0
        assert np.count_nonzero(each.counts) > 5


def test_a_few_neurons_have_no_axis_of_logarithms():
    model = SparseMLP([30, 20, 3], density=0.4, seed=1)
    display = drawn(plots.StrengthDisplay.from_model(model, layers=1))
    assert [ax.get_yscale() for ax in display.ax_] == ["linear", "linear"]
