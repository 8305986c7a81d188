"""The README's examples run as they stand there, one after the other."""

import importlib.util
import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_examples_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 7
    names = {}
    for block in blocks:
        if importlib.util.find_spec("torch") is None:
            block = re.sub(r"^module = .*$", "", block, flags=re.MULTILINE)
        exec(compile(block, str(README), "exec"), names)
    first, last = map(float, capsys.readouterr().out.splitlines()[-1].split())
    promised = re.findall(r"# (0\.\d+) and (0\.\d+)\n", README.read_text())
    assert promised == [(f"{first:.2f}", f"{last:.2f}")]
    import matplotlib.pyplot as plt

    plt.close("all")


def test_the_commands_of_the_readme_are_accepted():
    from truesparse.commands import build
    from truesparse.commands.config import RunConfig, merge
    from truesparse.commands.flags import parse_flags

    text = README.read_text().replace("\\\n", " ")
    found = re.findall(r"^    .*-m truesparse\.train(.*)$", text, re.MULTILINE)
    assert len(found) > 10
    for line in found:
        words = line.split("#")[0].split(">")[0].split()
        flags = vars(parse_flags(words))
        for name in ("json", "quiet", "dry_run", "config", "resume", "debug"):
            flags.pop(name, None)
        if flags.pop("list_topologies", False):
            continue
        config = RunConfig(**merge({}, flags))
        build._topology(config)
