"""CHT and CHTs: epitopological learning, growth where paths of length 3 lead.

Zhang, Zhao, Wu, Muscoloni and Cannistraci, "Epitopological learning and
Cannistraci-Hebb network shape intelligence brain-inspired theory for ultra-sparse
advantage in deep learning", ICLR 2024 (CHT), and Zhang et al., "Brain network science
modelling of sparse neural networks enables Transformers and LLMs to perform as fully
connected", NeurIPS 2025 (CHTs, CHTss); details as in the authors' code.

CHT removes the fraction of smallest magnitude of each sign, as SET, and whatever then
leads nowhere, and grows the absent cells of highest CH3-L3 score, which goes by the
pattern alone: many paths of length 3 through neurons with few connections elsewhere. Of
equal scores those that grow are drawn. CHTs draws instead: which connections stay, in
proportion to |w|^T, where T rises over the run, and which grow, in proportion to
CH3-L3p or CH2-L3n. CHTss first lowers the number of connections, by a sigmoid: those of
least relative importance go, the shares that |w| has of the sums of its row and of its
column; then it exchanges connections as CHTs does. A connection that an exchange
removes and grows again keeps its weight and state; a layer stands still once more than
nine tenths of what it lost come back.

Departures: where fewer cells have a score than are to grow, the rest is drawn
uniformly, as in the later code; the earlier one lets the number of connections fall.
Growth also gives back what the removal of chains took beyond the fraction, as in the
code. A layer whose growth repeats its removal stands still by itself, where the code
waits for all layers. Weights of 0 count in the fraction of CHT's removal, as in set.py.
"""

import numpy as np

from truesparse.common.checks import check_not_negative, choose
from truesparse.common.rng import Purpose
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.importance import relative_importance
from truesparse.topology.parts.path_sampler import DRAWN, sample_by_paths
from truesparse.topology.parts.paths import RULES, highest_scores
from truesparse.topology.parts.schedule import Share
from truesparse.topology.parts.topology_update import Update, update_bytes
from truesparse.topology.set import SignedRemoval

REMOVALS = ("magnitude", "relative")


class PathGrowth(TopologyAlgorithm):
    """Magnitude pruning, and growth where paths of length 3 lead.

    Parameters
    ----------
    **options
        See TopologyAlgorithm; the defaults of chain_removal and early_stop are those
        of CHT.
    """

    keeps_regrown = True
    rule: str = "ch3_l3p"
    chain_removal = True
    early_stop = 0.9
    # Measured, of kernels for paths.
    compiler_bytes = 14_000_000

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: the remaining pattern."""
        of_all, of_one = update_bytes(self.zeta, itemsize)
        # Measured: its index both ways, and tables of one of the two ways to draw.
        return of_all, of_one + 30.0

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells of highest score, then random ones."""
        grown = {}
        for index, count in self.grow_counts(update).items():
            keys = self.choose_cells(update, index, count)
            grown[index] = self.fill_at_random(update, index, keys, count)
            update.growth[index] = f"paths {keys.size}, random {count - keys.size}"
        return grown

    def choose_cells(self, update: Update, index: int, count: int) -> np.ndarray:
        """Return the cells of highest score, at most `count`, as ascending keys."""
        connections, dropped = update.connections[index], update.dropped[index]
        draw = update.stream(Purpose.CANDIDATES, index)
        return highest_scores(connections, dropped, count, self.rule, draw)[0]


class Cht(PathGrowth, SignedRemoval):
    """Cannistraci-Hebb training: growth where path scores are highest.

    Parameters
    ----------
    rule : str
        Score of absent cells, see paths.RULES.
    **options
        See PathGrowth, SignedRemoval and TopologyAlgorithm.
    """

    name = "cht"
    is_random = False  # the pattern decides, unless scores are equal
    # Measured: the scores of a round of rows, and a table for each task.
    scratch_bytes = 58_000_000

    def __init__(self, *, rule: str = "ch3_l3p", **options):
        super().__init__(**options)
        self.rule = choose(rule, RULES, "rule of path scores")


class Chts(PathGrowth):
    """CHTs, soft Cannistraci-Hebb training: removal and growth are drawn.

    Parameters
    ----------
    removal : {"magnitude", "relative"}
        Connections stay with a probability in proportion to |w|^T, or to the same power
        of the shares that |w| has in its row and in its column.
    last_temperature : float
        Value of T at the end of the run; it is 1 at the start.
    rule : {"ch3_l3p", "ch2_l3n"}
        Score of absent cells: CH3-L3p, as in the first table of the paper's MLPs, or
        CH2-L3n, as from then on.
    **options
        See PathGrowth and TopologyAlgorithm.
    """

    name = "chts"
    # Measured, as more is loaded of the kernels for paths.
    kernel_bytes = 8_000_000

    def __init__(
        self,
        *,
        removal: str = "magnitude",
        last_temperature: float = 3.0,
        rule: str = "ch3_l3p",
        **options,
    ):
        super().__init__(**options)
        self.rule = choose(rule, DRAWN, "rule to draw cells by")
        self.removal = choose(removal, REMOVALS, "removal")
        check_not_negative(last_temperature=last_temperature)
        self.last_temperature = last_temperature

    def drop_scores(self, update: Update, index: int) -> np.ndarray:
        """Return random scores: the highest are a draw in proportion to the weights.

        A score is log(weight) - log(-log(u)) with u uniform; those of the highest are
        a draw without replacement (Efraimidis and Spirakis 2006).
        """
        scores = np.abs(update.connections[index].values).astype(np.float64)
        if self.removal == "relative":
            scores = relative_importance(update.connections[index])
        temperature = 1.0 + update.context.progress * (self.last_temperature - 1.0)
        if temperature > 0.0:
            with np.errstate(divide="ignore"):
                np.log(scores, out=scores)
            scores *= temperature
        else:
            scores[:] = 0.0  # 0^0 is 1, and log(0) times 0 is no number
        scores += update.stream(Purpose.REMOVAL, index).gumbel(size=scores.size)
        return scores

    def choose_cells(self, update: Update, index: int, count: int) -> np.ndarray:
        """Draw cells in proportion to their score."""
        draw = update.stream(Purpose.CANDIDATES, index)
        connections, dropped = update.connections[index], update.dropped[index]
        return sample_by_paths(connections, dropped, count, draw, self.rule)


class Chtss(Chts):
    """CHTss: CHTs with a number of connections that falls as a sigmoid.

    Parameters
    ----------
    **options
        See Chts and TopologyAlgorithm; the defaults of final_share, share_shape,
        share_end and surplus are those of CHTss, from half of the cells to a tenth. In
        the paper's table of MLPs final_share is 0.02, from half to a hundredth.
    """

    name = "chtss"
    share = Share(0.2, "sigmoid")
    surplus = "relative"
