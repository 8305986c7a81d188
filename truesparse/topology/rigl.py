"""RigL: the rigged lottery.

Evci, Gale, Menick, Castro and Elsen, "Rigging the lottery: making all tickets winners",
ICML 2020, Algorithm 1; details as in the authors' code (google-research/rigl).

Every 100 steps the fraction f of the connections of smallest magnitude is removed; f
falls as a cosine and reaches 0 after three quarters of the run. As many connections
grow where the gradient is largest. These may be cells just emptied, whose connections
then keep weight and state; other new weights and their optimiser state are 0.

Departures: gradients are taken after a step, on a batch drawn for the purpose, where
the authors skip the optimiser step of the batch they look at; magnitudes get no noise
to break ties. In a layer too large to look at all cells, gradients are taken at a
uniform sample, which is GSE with the uniform distribution (see gse.py).
"""

from truesparse.common.checks import check_share
from truesparse.topology.parts.guided import GuidedGrowth
from truesparse.topology.parts.schedule import Fraction, UpdateSchedule


class Rigl(GuidedGrowth):
    """RigL, the rigged lottery: growth where the gradient is largest.

    Parameters
    ----------
    gradient_share : float
        Share of a layer's new connections that grow where its gradient is largest; the
        rest grows in random cells.
    **options
        See GuidedGrowth and TopologyAlgorithm; the defaults of zeta, decay, decay_end
        and schedule are those of RigL.
    """

    name = "rigl"
    keeps_regrown = True
    fraction = Fraction(0.3, "cosine", end=0.75)
    schedule = UpdateSchedule(100, "step", start=100)

    def __init__(self, *, gradient_share: float = 1.0, **options):
        super().__init__(**options)
        check_share(gradient_share=gradient_share)
        self.gradient_share = gradient_share
