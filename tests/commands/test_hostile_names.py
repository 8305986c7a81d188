"""Names that come from data are only names: in pages, file names and CSV."""

import csv
import html.parser
import re

import numpy as np
import pytest
from support.commands import call

from truesparse import analyse, predict, report

SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = "\" onload='a()' x=\""
FORMULA = "=HYPERLINK(A1)"
NAMES = [FORMULA, SCRIPT, ATTRIBUTE, "$\\frac{$", "a\u202eb"]


class Tags(html.parser.HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.seen = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, {name for name, _ in attributes}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train on a table of hostile names, values and labels, and return its folder."""
    folder = tmp_path_factory.mktemp("hostile")
    draw = np.random.default_rng(0)
    with (folder / f"{FORMULA} {SCRIPT.replace('/', '')}\n.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow([*NAMES[:3], "target"])
        for i in range(60):
            row = draw.standard_normal(2).round(3).tolist()
            writer.writerow([*row, NAMES[i % 2], NAMES[i % 5]])
    return folder


def test_pages_and_files(run, capsys, monkeypatch):
    monkeypatch.chdir(run)
    [data] = run.iterdir()
    words = ["--hidden", "20,10", "--epochs", "2", "--delimiter", ","]
    got = call(capsys, "--data", data, *words)
    assert got.code == 0, got.err
    [folder] = (run / "runs").iterdir()
    assert re.fullmatch(r"[\w .-]+", folder.name)
    for main, *more in (
        (report.main,),
        (analyse.main, "--out", folder / "analysis.html", "--only", "structure"),
    ):
        assert call(capsys, folder, *more, main=main).code == 0
    for name in ("report.html", "analysis.html"):
        tags = Tags((folder / name).read_text())
        assert {"h1", "td", "img"} <= {tag for tag, _ in tags.seen}
        assert not {"script", "iframe", "object", "link"} & {t for t, _ in tags.seen}
        attributes = set().union(*(names for _, names in tags.seen))
        assert not [name for name in attributes if name.startswith("on")]
    got = call(capsys, folder, data, "--out", run / "p.csv", main=predict.main)
    assert got.code == 0, got.err
    with (run / "p.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    cells = [*head, *(cell for row in rows for cell in row)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    assert {row[0] for row in rows} <= {*NAMES, f"'{FORMULA}"} - {FORMULA}
