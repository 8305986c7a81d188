"""The examples of README.md and the guide run, and what documents refer to exists."""

import importlib.util
import pathlib
import re

import pytest
from support import architecture
from support.sources import DOCUMENTS, ROOT

import truesparse

README, GUIDE = ROOT / "README.md", ROOT / "docs" / "guide.md"
ANALYSIS = ROOT / "docs" / "analysis.md"


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("path", "n_blocks", "n_promised"),
    [(README, 2, 0), (GUIDE, 7, 1), (ANALYSIS, 1, 0)],
    ids=["README", "guide", "analysis"],
)
def test_the_examples_run(path, n_blocks, n_promised, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    text = path.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == n_blocks
    names = {}
    for block in blocks:
        if importlib.util.find_spec("torch") is None:
            block = re.sub(r"^module = .*$", "", block, flags=re.MULTILINE)
        exec(compile(block, str(path), "exec"), names)
    # What the last example says that it prints.
    promised = re.findall(r"# (0\.\d+) and (0\.\d+)\n", text)
    assert len(promised) == n_promised
    for numbers in promised:
        first, last = map(float, capsys.readouterr().out.splitlines()[-1].split())
        assert numbers == (f"{first:.2f}", f"{last:.2f}")
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize(
    ("path", "n_lines"), [(README, 7), (GUIDE, 18)], ids=["README", "guide"]
)
def test_the_commands_are_accepted(path, n_lines):
    from truesparse.commands import build
    from truesparse.commands.config import RunConfig, merge
    from truesparse.commands.flags import parse_flags

    text = path.read_text().replace("\\\n", " ")
    lines = re.findall(r"^    .*-m truesparse\.train(.*)$", text, re.MULTILINE)
    assert len(lines) == n_lines
    for line in lines:
        words = line.split("#")[0].split(">")[0].split()
        flags = vars(parse_flags(words))
        for name in ("json", "quiet", "dry_run", "config", "resume", "debug", "verify"):
            flags.pop(name, None)
        if flags.pop("list_topologies", False):
            continue
        config = RunConfig(**merge({}, flags))
        build.make_topology(config)


def test_the_picture_of_the_architecture_is_that_of_the_code():
    [picture] = architecture.BLOCK.findall(README.read_text())
    assert picture == architecture.mermaid(), "run python -m support.architecture"


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_lead_to_files_and_headings(path):
    references = re.findall(r"\]\(([^)#:]*)(#[^)]*)?\)", path.read_text())
    for name, anchor in references:
        target = path.parent / name if name else path
        assert target.exists(), name
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", each).lower() for each in headings}
            assert anchor[1:] in {each.replace(" ", "-") for each in anchors}


def test_the_files_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = set(re.findall(r"`([\w./]+(?:\.py|\.json|\.txt|/))`", text))
    assert len(names) > 40
    for name in names:
        # What a reader is to write has a name in capitals.
        is_new = re.fullmatch(r"[A-Z]+\.py", pathlib.Path(name).name)
        places = (ROOT / name, ROOT / "truesparse" / name)
        assert is_new or any(place.exists() for place in places), name


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {truesparse.__version__}\n" in text


@pytest.mark.parametrize("name", ["README.md", "benchmarks/RESULTS.md"])
def test_every_figure_names_the_commit_that_it_is_of(name):
    block = r"<!-- benchmark:[\w-]+ -->\n(.*?)<!-- /benchmark -->"
    tables = re.findall(block, (ROOT / name).read_text(), re.DOTALL)
    assert len(tables) >= 4
    for table in tables:
        is_absent = "*Not measured with the present code" in table
        assert is_absent or re.search(r"20\d\d-\d\d-\d\d, commits? [0-9a-f]{12}", table)
        assert "dirty" not in table
