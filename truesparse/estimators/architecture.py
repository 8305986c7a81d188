"""The networks that an estimator trains where the caller leaves them to the data.

    rows         features   hidden layers  activation  dropout  networks       "set"
    any          fewer      100            relu        0        1              1
    up to 500    more       100            tanh        0        10, averaged   10
    above 500    more       1000           relu        0.5      1              1

The last column counts the epochs from one update of the topology "set" to the next.

Chosen by cross-validation within the training parts of nine wide sets, microarrays and
word counts (2026-11). With few rows, what a network learns depends much on where it
starts, and the mean of ten is 3 to 4 points better than one of them. An epoch has few
steps there, up to 200 rows a single one; an update after each takes most of the time,
and a tenth of the updates leads to the same accuracy, though none at all to less. With
more rows, width and dropout are worth as much as ten networks for less time.
"""

from typing import NamedTuple


class Architecture(NamedTuple):
    """Parameters of an estimator that say what networks it trains."""

    hidden_layer_sizes: tuple[int, ...] = (100,)
    activation: str = "relu"
    dropout: float = 0.0
    n_estimators: int = 1
    update_every: int = 1


_MOST_ROWS_TO_AVERAGE = 500


def architecture_for(n_rows: int, n_features: int) -> Architecture:
    """Return what suits a table of this shape.

    Examples
    --------
    >>> from truesparse.estimators.architecture import architecture_for
    >>> architecture_for(60, 2000).n_estimators
    10
    >>> architecture_for(60, 20).n_estimators
    1
    """
    if n_features <= n_rows:
        return Architecture()
    if n_rows <= _MOST_ROWS_TO_AVERAGE:
        return Architecture(activation="tanh", n_estimators=10, update_every=10)
    return Architecture(hidden_layer_sizes=(1000,), dropout=0.5)
