"""RigL: the rigged lottery.

Evci, Gale, Menick, Castro and Elsen, "Rigging the lottery: making all tickets winners",
ICML 2020, Algorithm 1; details as in the authors' code (google-research/rigl).

Every 100 steps the fraction f of the connections of smallest magnitude is removed, f
falling by a cosine to 0 after three quarters of the run, and as many grow where the
gradient is largest, among them cells just emptied: these keep weight and state. New
weights and their optimiser state are 0.

Departures: the gradient is that of a batch drawn for the purpose, after a step, where
the authors skip the optimiser step of the batch they look at; magnitudes get no noise
that breaks ties. Layers too large to look at all cells take a uniform sample of them,
which is GSE with the uniform distribution (see gse.py).
"""

from truesparse.topology.parts.guided import GuidedGrowth
from truesparse.topology.parts.schedule import Fraction, UpdateSchedule


class Rigl(GuidedGrowth):
    """The rigged lottery: RigL.

    Parameters
    ----------
    zeta, decay, decay_end, schedule
        See TopologyAlgorithm; the defaults are RigL's.
    **options
        See GuidedGrowth and TopologyAlgorithm.
    """

    name = "rigl"
    keeps_regrown = True
    fraction = Fraction(0.3, "cosine", end=0.75)
    schedule = UpdateSchedule(100, "step", start=100)
