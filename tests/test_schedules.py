"""Each learning-rate schedule against its formula; warm-up; the adaptive one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truesparse.errors import UsageError
from truesparse.schedules import SCHEDULES, LearningRate

BASE, EPOCHS = 0.2, 40
EPOCH = st.floats(0, EPOCHS)


def rate(epoch, name, reductions=0, **numbers):
    return LearningRate(BASE, name, **numbers).at(epoch, EPOCHS, reductions)


@given(EPOCH)
def test_formulas(epoch):
    e = epoch
    wanted = {
        "constant": BASE,
        "step": BASE * 0.1 ** math.floor(e / (EPOCHS / 3)),
        "exponential": BASE * 0.95**e,
        "inverse_scaling": BASE / math.sqrt(1 + e),
        "cosine": BASE * (1 + math.cos(math.pi * e / EPOCHS)) / 2,
        "linear": BASE * (1 - e / EPOCHS),
        "adaptive": BASE * 0.2**3,
    }
    assert set(wanted) == set(SCHEDULES)
    for name, want in wanted.items():
        got = rate(e, name, reductions=3)
        assert got == pytest.approx(want, rel=1e-12, abs=1e-16), name


@given(EPOCH, st.floats(0.01, 1), st.floats(0.5, 50), st.floats(0, 2), st.floats(0, 1))
def test_formulas_with_numbers_of_ones_own(epoch, factor, every, power, final):
    e, low = epoch, BASE * final
    wanted = {
        "step": (BASE * factor ** math.floor(e / every), {"every": every}),
        "exponential": (BASE * factor**e, {}),
        "adaptive": (BASE * factor**2, {}),
    }
    for name, (want, numbers) in wanted.items():
        got = rate(e, name, 2, factor=factor, **numbers)
        assert got == pytest.approx(want, rel=1e-12), name
    got = rate(e, "inverse_scaling", power=power)
    assert got == pytest.approx(BASE / (1 + e) ** power)
    half = (1 + math.cos(math.pi * e / EPOCHS)) / 2
    for name, left in (("cosine", half), ("linear", 1 - e / EPOCHS)):
        want = low + (BASE - low) * left
        assert rate(e, name, final=final) == pytest.approx(want, rel=1e-12, abs=1e-16)


@given(st.sampled_from(SCHEDULES), EPOCH, st.sampled_from([0.0, 0.5, 3.0, 40.0]))
def test_a_warm_up_multiplies_every_schedule(name, epoch, warmup):
    want = rate(epoch, name)
    if epoch < warmup:
        # The first step would else have no rate at all.
        want *= max(epoch / warmup, 1e-3)
    got = rate(epoch, name, warmup=warmup)
    assert got == pytest.approx(want, rel=1e-12, abs=1e-16)
    assert got > 0.0 or epoch > EPOCHS / 2


def test_beyond_the_last_epoch_the_rate_stays():
    for name in ("cosine", "linear"):
        numbers = LearningRate(BASE, name, final=0.25)
        assert numbers.at(50, EPOCHS) == numbers.at(EPOCHS, EPOCHS) == 0.25 * BASE


@pytest.mark.parametrize(
    ("losses", "reductions"),
    [
        ([], 0),
        ([3.0, 2.0, 1.0, 0.5], 0),
        ([1.0, 1.0], 0),
        ([1.0, 1.0, 1.0], 1),
        ([1.0, 1.0, 1.0, 1.0], 1),
        ([1.0, 1.0, 1.0, 1.0, 1.0], 2),
        # A better loss starts the waiting anew.
        ([1.0, 1.1, 0.9, 1.0, 0.8, 0.9], 0),
        # Better by less than the tolerance does not count.
        ([1.0, 1.0 - 5e-5, 1.0 - 9e-5], 1),
        # What matters is the best loss, not the last one.
        ([1.0, 2.0, 1.5], 1),
        ([1.0, math.nan, math.nan], 1),
    ],
)
def test_the_adaptive_rate_waits_for_a_better_loss(losses, reductions):
    numbers = LearningRate(BASE, "adaptive", patience=2, tolerance=1e-4)
    assert numbers.count_reductions(losses) == reductions
    assert numbers.at(1, 2, reductions) == pytest.approx(BASE * 0.2**reductions)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience(patience):
    numbers = LearningRate(BASE, "adaptive", patience=patience)
    assert numbers.count_reductions([1.0] * (1 + patience)) == 1
    assert numbers.count_reductions([1.0] * patience) == 0


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"name": "cosin"}, "unknown learning-rate schedule.*mean 'cosine'"),
        ({"base": 0.0}, "learning rate must be above 0 and finite, got 0.0"),
        ({"base": -1.0}, "learning rate must be .* got -1.0"),
        ({"base": math.inf}, "learning rate must be .* got inf"),
        ({"base": math.nan}, "learning rate must be .* got nan"),
        ({"factor": 0.0}, "factor must be above 0 and at most 1, got 0.0"),
        ({"factor": 1.5}, "factor must be .* got 1.5"),
        ({"warmup": -1.0}, "warmup must be at least 0 and finite"),
        ({"warmup": math.nan}, "warmup must be at least 0 and finite"),
        ({"every": 0.0}, "every must be above 0 and finite, got 0.0"),
        ({"final": 1.1}, "final must be from 0 to 1, got 1.1"),
        ({"every": "epoch"}, "every must be a number, got 'epoch'"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"patience": None}, "patience must be at least 1, got None"),
        ({"power": None}, "power must be finite, got None"),
        ({"tolerance": math.inf}, "tolerance must be finite, got inf"),
    ],
)
def test_bad_numbers(numbers, message):
    with pytest.raises(UsageError, match=message):
        LearningRate(**numbers)
