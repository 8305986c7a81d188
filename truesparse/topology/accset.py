"""AccSET: SET with fewer connections the better the net predicts.

After Lapshyna, "Sparse artificial neural networks: adaptive performance-based
connectivity inspired by human-brain processes", bachelor thesis, University of Twente
(2020): connections are removed for good as the accuracy increases. The exact rule is
not available; this is a stand-in of the same kind, not the algorithm of the thesis.

After every epoch SET removes its share, and regrows the part

    rho = 1 - max(0, (score - first) / (1 - first))

of it, where `first` is the score on validation data before the first update: the closer
the score comes to 1, the fewer connections grow back.
"""

from typing import Any

from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.schedule import Fraction
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update
from truesparse.topology.set import Set


class Accset(Set):
    """AccSET: SET with fewer connections as the score rises (a stand-in).

    Parameters
    ----------
    **options
        See Set and TopologyAlgorithm. Needs validation data.
    """

    name = "accset"
    needs_score = True
    # The score decides how many connections are left.
    takes = (
        *(*Fraction.OPTIONS, "schedule", *Layers.OPTIONS, "chain_removal"),
        *("early_stop", *Importance.OPTIONS, "final", "regrow_init"),
    )

    def __init__(self, **options):
        super().__init__(**options)
        self.first_score: float | None = None

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Forget the first score of an earlier run."""
        super().begin(model, batches)
        self.first_score = None

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the first score."""
        return {**super().state(), "first_score": self.first_score}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        super().restore(state)
        self.first_score = state["first_score"]

    def budget(self, update: Update, index: int) -> int:
        """Return how many connections a layer has now: lost ones do not come back."""
        return update.connections[index].nnz

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return how many connections each layer regrows."""
        score = update.context.score
        removed = {
            index: update.removed(index) - update.lost.get(index, 0)
            for index in update.connections
        }
        if score is None and update.context.epoch == 0:
            # There is a score from the end of the first epoch on.
            return removed
        if score is None:
            raise UsageError(
                "topology 'accset' needs a score on validation data; give X_val and "
                "y_val, or validation_fraction"
            )
        if self.first_score is None:
            self.first_score = score
        gain = (score - self.first_score) / max(1.0 - self.first_score, 1e-12)
        rho = 1.0 - min(max(gain, 0.0), 1.0)
        return {index: round(rho * count) for index, count in removed.items()}
