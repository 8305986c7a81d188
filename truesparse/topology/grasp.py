"""GraSP: gradient signal preservation, a choice before training on a sparse superset.

Wang, Zhang and Grosse, "Picking winning tickets before training by preserving gradient
flow", ICLR 2020, section 4.2; details as in the authors' code (alecwangcq/GraSP).

Without connection (i, j) the squared norm of the gradient g falls by about twice
w_ij (H g)_ij, where H is the Hessian of the loss. Those connections of all layers for
which this is largest stay, negative numbers included; with them gradients stay large.
Outputs are divided by a temperature, 200, before the loss, so that predictions are
about uniform. The product with H is exact, see network/hessian.py. Where several
batches take part, g and H are their sums, as in the code.

Departures: batches are drawn as for training, not with 10 or 25 samples of each class;
the weights are those of the net, where the code draws those of linear layers anew for
the scores alone ("reinit"). The choice is among a superset, see superset.py, where the
authors start from the dense net. Leave `rescale` off: weights that are chosen reinforce
each other, and outputs would be far too large. With a tenth of 64-200-200-10 on digits,
accuracy was 0.33 with it and 0.96 without (2026-11).
"""

import numpy as np

from truesparse.common.checks import check_positive, check_whole
from truesparse.network.hessian import Curvature
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.superset import SupersetPruning, before_training


class Grasp(SupersetPruning):
    """GraSP: connections are chosen by what the gradient's norm owes to them.

    Parameters
    ----------
    gradient_batches : int
        Batches over which gradients and Hessians are summed.
    temperature : float
        What outputs are divided by.
    **options
        See SupersetPruning.
    """

    name = "grasp"
    needs_batches = True
    # Products at a time; outputs, two derivatives, and what the direction changes.
    scratch_bytes = 8_000_000
    sample_numbers = 5

    def __init__(
        self, *, gradient_batches: int = 1, temperature: float = 200.0, **options
    ):
        super().__init__(**options)
        self.gradient_batches = check_whole("gradient_batches", gradient_batches, 1)
        check_positive(temperature=temperature)
        self.temperature = temperature

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what `begin` holds, see update_bytes: weights, gradients, scores."""
        return 40.0, 29.0

    def scores(
        self,
        model: SparseMLP,
        connections: dict[int, Connections],
        batches: Batches | None,
    ) -> dict[int, np.ndarray]:
        """Return the products of weights and H g."""
        assert batches is not None
        drawn = list(batches.draw(before_training(model), self.gradient_batches))
        curvature = Curvature(model.layers, model.loss, self.temperature)
        gradient = [np.zeros(layer.connections.nnz) for layer in model.layers]
        for samples in drawn:
            batch = batches.samples_of(samples)
            for total, each in zip(gradient, curvature.gradient(batch), strict=True):
                total += each
        scores = {index: np.zeros(each.nnz) for index, each in connections.items()}
        for samples in drawn:
            products = curvature.product(batches.samples_of(samples), gradient)
            for index, total in scores.items():
                total += products[index]
        for index, total in scores.items():
            total *= connections[index].values
        return scores
