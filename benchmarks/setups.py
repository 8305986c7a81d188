"""What the methods of benchmarks.methods share, and the options of each.

    lenet   LeNet-300-100 by default; all layers evolve, updates come every few steps
    chts    784-1568x3-C (3072 features for cifar10), 99 % sparse, all methods and the
            dense net by torch, as in tables 4 and 7 of Zhang et al., "Brain
            network science modelling of sparse neural networks enables Transformers and
            LLMs to perform as fully connected" (NeurIPS 2025)

Details of chts are those of the authors' commands and code
(biomedical-cybernetics/Cannistraci-Hebb-training, mlp_and_cnn): relu and no dropout,
SGD with momentum 0.9, pixels less their mean over their deviation, each one number for
all pixels, a full output layer that stands still, weights drawn by the mean number of
inputs a neuron has, an update after every epoch but the last. GraNet and CHTss start
with half of all cells. Departures: only the first layer is drawn by correlation, the
others uniformly; biases start at 0 and do not decay; the learning rate falls over the
whole run, where it reaches its last value after nine tenths; gradients for growth are
those of a batch drawn for the purpose; evaluation is after every epoch, and the last
one counts.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from truesparse.common.checks import choose
from truesparse.topology import ALGORITHMS, UpdateSchedule

from .options import DENSE, assignments

# Lottery prunes in this many rounds, magnitude once, in the middle.
ROUNDS = 4
# Methods that choose among all cells before training.
BEFORE_TRAINING = ("snip", "grasp", "synflow")
# Methods that update every step, or once, or in rounds.
OWN_PACE = ("deepr", *BEFORE_TRAINING, "magnitude", "lottery")
DECAYING = ("set", "accset", "cht", "chts", "chtss")
# Methods that start with more connections, as many times as Setup says.
GRADUAL = ("granet", "chtss")


@dataclass(frozen=True)
class Setup:
    """What all methods share, beyond the flags of the command line.

    Parameters
    ----------
    flags : dict of str to object
        Defaults of the command line that the setup replaces.
    zeta : float, optional
        Share of the connections that every method with that option exchanges, by its
        own schedule of that share; by default each has its own share, and those that
        have no schedule of it let it fall by a cosine.
    start : float
        Connections of granet and chtss at first, as a multiple of those in the end.
    has_full_output : bool
        Whether the output layer is fully connected and stands still, or is sparse and
        evolves.
    last_rate : float
        Share of the learning rate at the end of the run.
    many_cells, slow, slow_rate : float, tuple of str, float
        Nets that start with more than that share of all cells, and the methods named,
        take that share of the learning rate.
    methods : tuple of str
        What is measured by default.
    is_standardised : bool
        Whether one mean and one deviation scale all features.
    """

    flags: dict[str, Any] = field(default_factory=dict)
    zeta: float | None = None
    start: float = 5.0
    has_full_output: bool = False
    last_rate: float = 0.0
    many_cells: float = 1.0
    slow: tuple[str, ...] = ()
    slow_rate: float = 1.0
    methods: tuple[str, ...] = ("dense", *ALGORITHMS)
    is_standardised: bool = False


SETUPS = {
    # A dense LeNet-300-100 dies at a rate of 0.5; some methods choose among all
    # cells before training, and the pool of Top-KAST learns by plain gradients.
    "lenet": Setup(many_cells=0.2, slow=(*BEFORE_TRAINING, "top_kast"), slow_rate=0.2),
    "chts": Setup(
        flags={
            **{"hidden": "1568,1568,1568", "sparsities": "0.99", "epochs": 100},
            **{"init_topology": "csti", "batch_size": 32, "update_every": None},
            **{"lr": 0.025, "weight_decay": 5e-4},
        },
        zeta=0.3,
        start=50.0,
        has_full_output=True,
        last_rate=0.01,
        methods=(
            *("torch_dense", *ALGORITHMS),
            *("chts:rule=ch2_l3n", "chtss:rule=ch2_l3n"),
        ),
        is_standardised=True,
    ),
}


class Plan(NamedTuple):
    """How one method is run: options of the net, the algorithm and its options.

    `cycles` is how often the learning rate starts again, plus one.
    """

    net: dict[str, Any]
    name: str
    options: dict[str, Any]
    cycles: int


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """Return name and options of ``name:option=value:...``; values are TOML, or text.

    Examples
    --------
    >>> from benchmarks.setups import parse_method
    >>> parse_method("cht:zeta=0.1:chain_removal=false")
    ('cht', {'zeta': 0.1, 'chain_removal': False})
    """
    name, *words = text.split(":")
    choose(name, (*DENSE, *ALGORITHMS), "method")
    return name, assignments(words)


def setup_of(settings: dict[str, Any]) -> Setup:
    """Return the setup that the settings of a results file name, lenet if none."""
    return SETUPS[settings.get("setup", "lenet")]


def prepare(method: str, sparsity: float, settings: dict[str, Any]) -> Plan:
    """Return how to run a method: ``settings`` are those of a results file."""
    setup = setup_of(settings)
    name, given = parse_method(method)
    density, cycles = 1.0 - sparsity, 1
    topology = settings["init_topology"]
    net: dict[str, Any] = {"density": density, "init_topology": topology}
    if name in DENSE:
        return Plan(net | {"init_topology": "uniform"}, "static", given, cycles)
    if name == "static":
        return Plan(net, name, given, cycles)
    options = {"evolve_output": not setup.has_full_output} | _pace(name, settings)
    if name in GRADUAL:
        net["density"] = min(given.pop("start", setup.start) * density, 1.0)
        options["final_share"] = density / net["density"]
    elif name in ("magnitude", "lottery"):
        net["density"], options["final_share"] = 1.0, density
        # Tickets of all layers together, to end with the density asked for.
        rounds = {"rounds": ROUNDS, "scope": "global"}
        options |= {"prune_at": 0.5} if name == "magnitude" else rounds
        cycles = 2 if name == "magnitude" else ROUNDS + 1
    elif name == "dsr":
        # The authors stop at epoch 190 of 200. Updates are few: a high threshold.
        options = {"zeta": 0.2} | options | {"decay_end": 0.95, "threshold": 0.01}
    elif name in BEFORE_TRAINING:
        options |= {"gamma": sparsity / density, "weight_init": "he_normal"}
    elif name == "srigl":
        net["init_topology"] = "constant_fan_in"
        options["gamma_salience"] = 0.6
        if topology == "erk":
            net["init_options"] = {"distribution": "erk"}
    return Plan(net, name, options | given, cycles)


def _pace(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return when a method updates, and how much, as options; none for its defaults."""
    setup, every = setup_of(settings), settings["update_every"]
    has_own_pace = name in OWN_PACE
    if setup.zeta is not None:
        has_own_pace = "zeta" not in ALGORITHMS[name].options()
    if has_own_pace:
        return {}
    schedule = UpdateSchedule()  # after every epoch
    if every is not None:
        schedule = UpdateSchedule(every, "step", start=every)
    options: dict[str, Any] = {"schedule": schedule}
    if setup.zeta is not None:
        return options | {"zeta": setup.zeta}
    return options | ({"decay": "cosine"} if name in DECAYING else {})
