"""Algorithms of a user: given as classes, and what is said of their slips."""

import numpy as np
import pytest
from support.training import make_problem, make_trainer

from truesparse.callbacks import Callback
from truesparse.errors import UsageError
from truesparse.topology import Static, make


def test_what_grows_must_be_a_dict_with_every_layer():
    for answer in (None, {}, {0: np.array([1]), 5: np.array([1])}):

        class Forgetful(Static):
            def due(self, unit, context):
                return unit == "step"

            def grow(self, update, answer=answer):
                return answer

        with pytest.raises(UsageError, match="grow of Forgetful must return a dict"):
            make_trainer(topology=Forgetful).fit(*make_problem(80))


def test_an_algorithm_may_be_a_class_and_options_are_never_ignored():
    assert make(Static).name == "static"
    assert make(type(make("set")), zeta=0.125).zeta == 0.125
    algorithm = make("set")
    assert make(algorithm) is algorithm
    with pytest.raises(UsageError, match="zeta: an algorithm that is made has its"):
        make(algorithm, zeta=0.1)


def test_python_warns_where_no_callback_hears_of_warnings():
    X, y = make_problem(80)
    with pytest.warns(UserWarning, match="'rigl', after step 100, comes too late"):
        make_trainer(topology="rigl", callbacks=[Callback()]).fit(X, y)
    # Who trains for a single epoch knows that nothing comes between epochs.
    make_trainer(topology="set", epochs=1).fit(X, y)
    with pytest.warns(UserWarning, match="'rigl', after step 100, comes too late"):
        make_trainer(topology="rigl", epochs=1).fit(X, y)
