"""Every analysis of a million neurons, where a dense layer would take 250 GB."""

from support.processes import run_script

from tests.long.registry import Figures, lane

NEURONS = 500_000  # of each of two hidden layers
_EXTRA = 6_000_000_000  # bytes beside the network
_SECONDS = 3600


@lane(
    "large-networks",
    "every analysis and display of a network of a million neurons takes less than "
    "6 GB beside the network",
    batch=1,
    test="pytest tests/analysis/test_large_network.py",
)
def analyse(seed: int, count: int) -> Figures:
    """Analyse `count` networks of a million neurons, some minutes each."""
    figures = Figures()
    for case in range(count):
        words = str(NEURONS), str(_EXTRA), str(seed * count + case)
        try:
            done = run_script(
                "run_large_analysis.py", *words, threads=1, seconds=_SECONDS
            )
        except AssertionError as error:
            figures.fail(f"run_large_analysis.py {' '.join(words)}: {error}")
        else:
            figures.add("analyses and displays", len(done["seconds"]))
    return figures
