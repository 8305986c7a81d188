"""How many connections each layer gets: a budget split over the layers of a network.

layerwise   every layer by itself: epsilon (n_in + n_out), at most all cells (Mocanu et
            al. 2018), or density times all cells
uniform     the same density in every layer
erk         density proportional to ((n_in + n_out) / (n_in n_out))^power; layers whose
            density would exceed 1 are full, and the total is exact (Evci et al.,
            "Rigging the Lottery", ICML 2020; code: google-research/rigl,
            sparse_utils.py)
"""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

from truesparse.common.checks import check_numbers, check_whole, choose
from truesparse.drawing.cells import check_density, connection_count
from truesparse.errors import UsageError
from truesparse.sparse.connections import LARGEST_SIDE

DISTRIBUTIONS = ("layerwise", "uniform", "erk")


def allocate(
    layer_sizes: Sequence[int],
    distribution: str,
    *,
    epsilon: float | None = None,
    density: float | None = None,
    power: float = 1.0,
) -> list[int]:
    """Return the number of connections of every layer.

    Parameters
    ----------
    layer_sizes : sequence of int
        Neurons from the inputs to the outputs, one more than there are layers.
    distribution : {"layerwise", "uniform", "erk"}
    epsilon : float, optional
        Connections per neuron, for "layerwise" and "erk". The total of "erk" is that of
        "layerwise".
    density : float, optional
        Share of all cells, in (0, 1]. The total of "erk" is
        ``round(density * all cells)``, but at least one for each layer. Exactly one of
        epsilon and density is given.
    power : float
        For "erk": 0 is the same density everywhere, 1 the rule of RigL.

    Returns
    -------
    list of int
        A number from 1 to all cells of the layer, for each layer.

    Raises
    ------
    UsageError
        If the distribution is unknown, if neither or both of epsilon and density are
        given, or epsilon for "uniform".

    Examples
    --------
    >>> from truesparse.drawing.budget import allocate
    >>> allocate([784, 1000, 1000, 10], "layerwise", epsilon=10)
    [17840, 20000, 10000]
    >>> allocate([784, 1000, 1000, 10], "uniform", density=0.01)
    [7840, 10000, 100]
    >>> allocate([784, 1000, 1000, 10], "erk", density=0.01)
    [6676, 7484, 3780]
    """
    choose(distribution, DISTRIBUTIONS, "distribution of connections")
    shapes = list(itertools.pairwise(check_layer_sizes(layer_sizes)))
    if distribution == "uniform" and density is None:
        raise UsageError(
            "distribution 'uniform' needs density; give density, or take 'erk', which "
            "also takes epsilon"
        )
    # Also refuses wrong values of epsilon and density.
    counts = [
        connection_count(*shape, epsilon=epsilon, density=density) for shape in shapes
    ]
    if distribution != "erk":
        return counts
    cells = [n_in * n_out for n_in, n_out in shapes]
    total = sum(counts)
    if density is not None:
        total = min(sum(cells), max(len(cells), round(float(density) * sum(cells))))
    raw = [_raw_density(shape, power) for shape in shapes]
    shares = _clipped_shares(raw, cells, total)
    exact = [share * size for share, size in zip(shares, cells, strict=True)]
    return _round_to_total(exact, cells, total)


def erk_densities(
    shapes: Sequence[Sequence[int]],
    density: float,
    power: float = 1.0,
    kernel: bool = True,
) -> list[float]:
    """Return the ERK density of tensors of any shape, as in the reference code.

    Parameters
    ----------
    shapes : sequence of shapes
        Shapes of weight tensors, with two dimensions or more; the last two are inputs
        and outputs.
    density : float
        Share of all cells, in (0, 1]. The budget is, as in the reference code, the sum
        of ``cells - floor((1 - density) * cells)`` over the tensors.
    power : float
    kernel : bool
        Whether dimensions before the last two, those of a convolution, count (ERK) or
        not (ER).

    Returns
    -------
    list of float

    Examples
    --------
    >>> from truesparse.drawing.budget import erk_densities
    >>> [round(d, 3) for d in erk_densities([(2, 4), (3, 6), (2, 4, 6)], 0.5)]
    [1.0, 0.69, 0.345]
    """
    if not shapes or any(len(s) < 2 or min(s) < 1 for s in shapes):
        raise UsageError(
            "give at least one shape, each with two dimensions or more of at least 1; "
            f"got {shapes}"
        )
    check_density(density)
    cells = [math.prod(shape) for shape in shapes]
    # 1 - density is not exact: without the margin, 0.9 would leave 9 out of 100 empty.
    total = sum(size - math.floor((1.0 - density) * size + 1e-9) for size in cells)
    raw = [_raw_density(shape if kernel else shape[-2:], power) for shape in shapes]
    return [float(share) for share in _clipped_shares(raw, cells, total)]


def check_layer_sizes(layer_sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes as integers of Python.

    Raises
    ------
    UsageError
        If there are fewer than two, or one is not from 1 to 2**31 - 1.
    """
    try:
        sizes = tuple(layer_sizes)
    except TypeError:
        raise UsageError(
            "layer_sizes must be whole numbers, from features to outputs, got "
            f"{layer_sizes!r}"
        ) from None
    if len(sizes) < 2:
        raise UsageError(
            f"layer_sizes must hold at least features and outputs, got {list(sizes)}"
        )
    return tuple(check_whole("layer size", size, 1, LARGEST_SIDE) for size in sizes)


def _raw_density(shape: Sequence[int], power: float) -> Fraction:
    """Return (sum / product of the sides)^power; a Fraction, as sums must be exact."""
    check_numbers(power=power)
    ratio = Fraction(sum(shape), math.prod(shape))
    if power == 1:
        return ratio
    raised = float(ratio) ** power
    if not (math.isfinite(raised) and raised > 0.0):
        raise UsageError(
            f"power must be a moderate number, got {power}; take 1 for the rule of "
            f"RigL ({float(ratio):.3g} to the power given is no number above 0)"
        )
    return Fraction(raised)


def _clipped_shares(
    raw: list[Fraction], cells: list[int], total: int
) -> list[Fraction]:
    """Scale densities to use up `total`; densities that would exceed 1 become 1."""
    full: set[int] = set()
    while True:
        others = [k for k in range(len(raw)) if k not in full]
        left = total - sum(cells[k] for k in full)
        weight = sum(raw[k] * cells[k] for k in others)
        scale = Fraction(left) / weight if others else Fraction(0)
        over = {k for k in others if scale * raw[k] > 1}
        if not over:
            break
        # The reference code sets them aside one by one, with the same result: the scale
        # of the others only rises, so that all of these would exceed 1 later, too.
        full |= over
    return [Fraction(1) if k in full else scale * raw[k] for k in range(len(raw))]


def _round_to_total(exact: list[Fraction], cells: list[int], total: int) -> list[int]:
    """Round to whole numbers from 1 to `cells`, largest remainders up, sum `total`."""
    counts = [
        min(size, max(1, math.floor(number)))
        for number, size in zip(exact, cells, strict=True)
    ]
    while rest := total - sum(counts):
        step = 1 if rest > 0 else -1
        free = [k for k, size in enumerate(cells) if 1 <= counts[k] + step <= size]
        counts[max(free, key=lambda k: step * (exact[k] - counts[k]))] += step
    return counts
