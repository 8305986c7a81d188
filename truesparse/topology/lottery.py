"""Lottery tickets: magnitude pruning in rounds, with weights wound back after each.

Frankle and Carbin, "The lottery ticket hypothesis: finding sparse, trainable neural
networks", ICLR 2019, section 1 and appendix B (iterative pruning); weights wound back
to an epoch after the start as in Frankle, Dziugaite, Roy and Carbin, "Stabilizing the
lottery ticket hypothesis", arXiv 1903.01611 (2019).

The run is cut into `rounds` + 1 parts of about the same number of epochs. At the end of
each part but the last the smallest weights of each layer go, the same share of the rest
every time: by default a fifth, and half of that share in the output layer, as for the
paper's fully-connected net on MNIST. All others, and the biases, get back the values
that they had after `rewind_epoch` epochs, and the optimiser starts afresh. A falling
learning rate should start afresh too: set `cycles` of LearningRate, ``--lr-cycles``, to
rounds + 1.

With scope "global" weights are compared over all layers, and all lose the same share
together, as in appendix I of the paper and in facebookresearch/open_lth.

Departures: `final_share` and `rounds` give the share of a round, and the number of
connections is rounded from that at first, so that it differs by less than one.
"""

from typing import Any

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.layer import SparseLayer
from truesparse.topology.magnitude import MagnitudePruning
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.schedule import Share
from truesparse.topology.parts.topology_update import Update


class Lottery(MagnitudePruning):
    """Iterative magnitude pruning with rewinding.

    Parameters
    ----------
    rounds : int
        Number of times that the net is pruned.
    rewind_epoch : int
        Epochs after which the weights are noted; 0 notes the initial ones.
    scope : {"layer", "global"}
        Whether each layer loses its share, the output layer half of it, or weights are
        compared over all layers.
    **options
        See MagnitudePruning. `final_share` of a hidden layer's connections, or with
        scope "global" of all, is left at the end; by default the share that is left
        after five rounds of a fifth each.
    """

    name = "lottery"
    share = Share(0.32768)  # 0.8**5

    def __init__(
        self,
        *,
        rounds: int = 5,
        rewind_epoch: int = 0,
        scope: str = "layer",
        **options,
    ):
        super().__init__(scope=scope, **options)
        self.rounds = check_whole("rounds", rounds, 1)
        self.rewind_epoch = check_whole("rewind_epoch", rewind_epoch, 0)
        # Weights of each layer, then the parameters of its neurons: biases and others.
        self._noted: dict[int, list[np.ndarray]] = {}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the noted parameters."""
        noted = {str(index): arrays for index, arrays in self._noted.items()}
        return {**super().state(), "noted": noted}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        super().restore(state)
        self._noted = {
            int(index): [array.copy() for array in arrays]
            for index, arrays in state["noted"].items()
        }

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Note the initial weights, if pruning winds back to these."""
        super().begin(model, batches)
        self._noted = {}
        if self.rewind_epoch == 0:
            self._note(model)

    def advance(
        self, unit: str, model: SparseMLP, context: UpdateContext, batches: Batches
    ) -> list[LayerChange] | None:
        """Note the weights of the epoch, and prune at the end of a round."""
        if context.n_epochs <= self.rounds:
            raise UsageError(
                f"topology 'lottery' with {self.rounds} rounds needs at least "
                f"{self.rounds + 1} epochs, got {context.n_epochs}"
            )
        if unit == "epoch" and context.epoch == self.rewind_epoch > 0:
            self._note(model)
        return super().advance(unit, model, context, batches)

    def due(self, unit: str, context: UpdateContext) -> bool:
        """Whether a round ends here."""
        if unit != "epoch" or context.is_final:
            return False
        return self._round(context, context.epoch) > self._round(
            context, context.epoch - 1
        )

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: also the early weights."""
        of_all, of_one = super().update_bytes(itemsize)
        return of_all + itemsize, of_one + itemsize

    def share_left(self, context: UpdateContext) -> float:
        """Return the share of the connections that is left after this round."""
        return self.share.final ** (self._round(context, context.epoch) / self.rounds)

    def budget(self, update: Update, index: int) -> int:
        """Return how many connections a layer is to have after this round."""
        if self.scope == "global" or index < len(update.model.layers) - 1:
            return super().budget(update, index)
        rate = (1.0 - self.share.final ** (1.0 / self.rounds)) / 2.0
        left = (1.0 - rate) ** self._round(update.context, update.context.epoch)
        return max(round(self.budgets[index] * left), 1)

    def update(
        self, model: SparseMLP, context: UpdateContext, batches: Batches | None = None
    ) -> list[LayerChange]:
        """Prune, and wind the rest back, but not at the very end of the run."""
        if context.is_final:
            return []
        if not self._noted:
            raise UsageError(
                "the first round of topology 'lottery' ends after epoch "
                f"{context.epoch}, before rewind_epoch {self.rewind_epoch}; lower "
                "rewind_epoch or train longer"
            )
        changes = super().update(model, context, batches)
        for index, layer in enumerate(model.layers):
            for array, early in zip(
                _parameters(layer), self._noted[index], strict=True
            ):
                array[:] = early
        model.reset_moments()
        return changes

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return no cells; forget the noted weights of connections that go."""
        for index, marks in update.dropped.items():
            self._noted[index][0] = self._noted[index][0][~marks]
        return super().grow(update)

    def _round(self, context: UpdateContext, epoch: int) -> int:
        """Return how many rounds are over after so many epochs."""
        return epoch * (self.rounds + 1) // context.n_epochs

    def _note(self, model: SparseMLP) -> None:
        self._noted = {
            index: [array.copy() for array in _parameters(layer)]
            for index, layer in enumerate(model.layers)
        }


def _parameters(layer: SparseLayer) -> list[np.ndarray]:
    return [layer.connections.values, *layer.neuron_parameters()]
