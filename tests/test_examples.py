"""The scripts in examples/ run as they stand and reach the accuracy they are for."""

import pathlib
import re
import runpy

import pytest

EXAMPLES = sorted((pathlib.Path(__file__).parents[1] / "examples").glob("*.py"))
LEAST = {
    "own_connectivity": {"pathway map": 0.85, "random map": 0.75},
    "text": {"sparse network": 0.94, "logistic regression": 0.94},
    "wide_table": {
        "evolving network": 0.78,
        "static network": 0.55,
        "logistic regression": 0.85,
    },
}


@pytest.mark.compiled
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    scores = dict(re.findall(r"^(.*): accuracy (0\.\d+)", printed, re.MULTILINE))
    least = LEAST[path.stem]
    assert scores.keys() == least.keys()
    for name, score in scores.items():
        assert float(score) >= least[name], name


def test_every_example_opens_with_how_to_run_it():
    assert len(EXAMPLES) == len(LEAST)
    for path in EXAMPLES:
        assert f"    python examples/{path.name}\n" in path.read_text()
