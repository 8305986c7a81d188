"""The example of docs/torch.md runs, and its list of algorithms is complete."""

import re

import pytest
from support.sources import ROOT

pytest.importorskip("torch")

from truesparse.torch import TopologyUpdater
from truesparse.torch.updater import UNFIT

TEXT = (ROOT / "docs" / "torch.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    [block] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {}
    exec(compile(block, "docs/torch.md", "exec"), names)
    printed = capsys.readouterr().out
    assert re.fullmatch(r"23040 connections, \d+\.\d s\n", printed)
    assert names["updater"].steps == 2 * len(names["batches"])
    model, images, labels = (names[name] for name in ("model", "images", "labels"))
    assert (model(images).argmax(1) == labels).float().mean() > 0.9


def test_every_algorithm_has_its_row():
    rows = re.findall(r"^\| (`.*`) \|", TEXT, re.MULTILINE)
    *fitting, unfit = [re.findall(r"`(\w+)`", row) for row in rows]
    names = sorted(name for row in fitting for name in row)
    assert names == sorted(TopologyUpdater.algorithms())
    assert sorted(unfit) == sorted(UNFIT)
