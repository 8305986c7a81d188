"""The example of README.md runs, and the list of docs/torch.md is complete."""

import re

import pytest
from support.sources import ROOT

torch = pytest.importorskip("torch")

from truesparse.torch import TopologyUpdater  # noqa: E402
from truesparse.torch.updater import UNFIT  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "torch.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    [block] = re.findall(r"```python torch\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert re.fullmatch(r"23040 connections, \d+\.\d s\n", printed)
    assert names["updater"].steps == 2 * len(names["batches"])
    model, labels = names["model"], names["labels"]
    predicted = [model(images).argmax(1) for images, _ in names["batches"]]
    assert (torch.cat(predicted) == labels).float().mean() > 0.9


def test_every_algorithm_has_its_row():
    rows = re.findall(r"^\| (`.*`) \|", GUIDE, re.MULTILINE)
    *fitting, unfit = [re.findall(r"`(\w+)`", row) for row in rows]
    names = sorted(name for row in fitting for name in row)
    assert names == sorted(TopologyUpdater.algorithms())
    assert sorted(unfit) == sorted(UNFIT)
