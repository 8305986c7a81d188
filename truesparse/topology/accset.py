"""AccSET: SET with fewer connections the better the net predicts.

After Lapshyna, "Sparse artificial neural networks: adaptive performance-based
connectivity inspired by human-brain processes", bachelor thesis, University of Twente
(2020), https://purl.utwente.nl/essays/80559: connections are gradually removed as the
accuracy increases. Only its abstract is public: the exact rule is not available, and
this is a stand-in of the same kind, not the algorithm of the thesis. The thesis reports
65.3, 51.6 and 58.6 % fewer connections than SET on Fashion-MNIST, CIFAR-10 and HIGGS.

After every epoch SET exchanges its share, and each layer keeps the part

    left = 1 - (1 - least_share) min(1, gain / 0.3),
    gain = (best - first) / (1 - first)

of its connections at first, where `first` is the score on validation data before the
first update and `best` the best one since. The number never rises, falls with every new
best score, and stays at `least_share`, 0.4, once 0.3 of the way to a perfect score is
done: 60 % fewer connections, amid those of the thesis.
"""

from typing import Any

from truesparse.common.checks import check_share_above_zero
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.schedule import Fraction
from truesparse.topology.parts.stages import Layers
from truesparse.topology.set import Set

# Share of the way from the first to a perfect score on which connections go. In the
# thesis' tasks a first epoch is often followed by no more than a third of that way.
_WAY = 0.3


class Accset(Set):
    """AccSET: SET with fewer connections as the score rises (a stand-in).

    Parameters
    ----------
    least_share : float
        Share of the initial connections below which their number never falls.
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

    def __init__(self, *, least_share: float = 0.4, **options):
        super().__init__(**options)
        check_share_above_zero(least_share=least_share)
        self.least_share = least_share
        # The first score, and the best one so far.
        self.scores: tuple[float, float] | None = None

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Forget the scores of an earlier run."""
        super().begin(model, batches)
        self.scores = None

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the scores."""
        return {**super().state(), "scores": self.scores}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state; UsageError for one of version 0.1.0."""
        if "scores" not in state:
            raise UsageError(
                "the run was begun by a version whose accset had another rule; start "
                "a new one"
            )
        super().restore(state)
        self.scores = None if state["scores"] is None else tuple(state["scores"])

    def update(
        self, model: SparseMLP, context: UpdateContext, batches: Batches | None = None
    ) -> list[LayerChange]:
        """Note the score, and exchange connections."""
        if context.score is not None:
            first, best = self.scores or (context.score, context.score)
            self.scores = first, max(best, context.score)
        elif context.epoch > 0:
            # There is a score from the end of the first epoch on.
            raise UsageError(
                "topology 'accset' needs a score on validation data; give X_val and "
                "y_val, or validation_fraction"
            )
        return super().update(model, context, batches)

    def share_left(self, context: UpdateContext) -> float:
        """Return the share of the initial connections that is to be left."""
        if self.scores is None:
            return 1.0
        first, best = self.scores
        gain = (best - first) / max(1.0 - first, 1e-12)
        return 1.0 - (1.0 - self.least_share) * min(gain / _WAY, 1.0)
