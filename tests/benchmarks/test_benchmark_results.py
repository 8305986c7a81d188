"""Results: their files, what is not published, and the documents that show them."""

import dataclasses
import difflib
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import (
    loading,
    methods,
    report,
    scale,
    step,
    stored,
    tables,
)
from benchmarks.harness import Timing
from benchmarks.stored import RESULTS, git_commit, write_results
from truesparse.errors import DataError, UsageError


@pytest.fixture
def uncommitted(monkeypatch):
    """Pretend that the code has changes that are not committed."""
    monkeypatch.setattr(stored, "git_commit", lambda: "0123456789ab-dirty")


def test_results_say_where_and_when(tmp_path):
    path = tmp_path / "new" / "step.json"
    timing = Timing.of([1.0], first=2.0)
    write_results(path, {"steps": {"a": timing}, "rate": np.float32(0.5)})
    got = json.loads(path.read_text())
    assert got["steps"]["a"]["median"] == 1
    assert got["rate"] == 0.5
    assert got.keys() >= {"date", "commit", "machine"}


def test_results_refuse_what_they_cannot_write(tmp_path):
    with pytest.raises(UsageError, match="machine"):
        write_results(tmp_path / "a.json", {"machine": 1})
    with pytest.raises(DataError, match="JSON"):
        write_results(tmp_path / "a.json", {"a": object()})
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_results(tmp_path / "file" / "a.json", {})


def test_each_run_of_a_file_has_a_line(tmp_path):
    path = tmp_path / "step.json"
    runs = [
        {"seed": seed, "scores": [0.5, 0.25], "nested": {"a": [1]}} for seed in (0, 1)
    ]
    write_results(path, {"settings": {"lr": 0.1}, "runs": runs, "rows": []})
    lines = path.read_text().splitlines()
    assert len(lines) == 1 + 3 + 1 + 4 + 1 + 1
    new = {"seed": 2, "scores": [0.75], "nested": {}}
    write_results(path, {"settings": {"lr": 0.1}, "runs": [*runs, new], "rows": []})
    changed = [
        line
        for line in difflib.ndiff(lines, path.read_text().splitlines())
        if line[0] in "+-" and '"date"' not in line
    ]
    assert changed == ["+ ," + json.dumps(new)]
    assert json.loads(path.read_text())["runs"] == [*runs, new]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda p: p.name)
def test_published_files_are_as_the_programs_write_them(path):
    text = path.read_text(encoding="utf-8")
    assert stored.as_lines(json.loads(text)) == text


def test_published_results_are_those_of_commits():
    stored.Results(RESULTS).refuse_uncommitted()
    for path in RESULTS.glob("*.json"):
        for commit in stored._commits(json.loads(path.read_text())):
            assert commit is not None, path


def test_uncommitted_code_publishes_nothing(uncommitted, tmp_path, capsys):
    path = RESULTS / "new.json"
    with pytest.raises(UsageError, match="not committed"):
        write_results(path, {})
    assert not path.exists()
    write_results(tmp_path / "new.json", {})
    assert json.loads((tmp_path / "new.json").read_text())["commit"].endswith("-dirty")
    # Before anything is measured.
    for program in (step, scale, methods):
        assert program.main([]) == 2
        printed = capsys.readouterr()
        assert "--out" in printed.err
        assert not printed.out


def test_documents_show_no_results_of_uncommitted_code(tmp_path, capsys):
    runs = [{"commit": "abc"}, {"commit": "def-dirty"}]
    file = {"commit": "abc", "machine": {}, "runs": runs}
    (tmp_path / "methods-x.json").write_text(json.dumps(file))
    with pytest.raises(DataError, match=r"methods-x.*def-dirty"):
        stored.Results(tmp_path).refuse_uncommitted()
    document = tmp_path / "document.md"
    document.write_text("")
    assert report.main([str(document), "--results", str(tmp_path)]) == 4
    assert "def-dirty" in capsys.readouterr().err


def test_only_changes_of_code_count_as_uncommitted(tmp_path, monkeypatch):
    for name in ("truesparse/a.py", "benchmarks/peers/b.py", "benchmarks/c.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(stored, "ROOT", tmp_path)
    identity = "-c", "user.name=a", "-c", "user.email=a@example.org"
    for words in (("init",), ("add", "."), ("commit", "-m", "1")):
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True)

    def commit() -> str:
        git_commit.cache_clear()
        try:
            return git_commit()
        finally:
            git_commit.cache_clear()

    clean = commit()
    assert len(clean) == 12
    (tmp_path / "benchmarks" / "c.md").write_text("2")
    (tmp_path / "truesparse" / "untracked.py").write_text("2")
    assert commit() == clean
    for name in ("truesparse/a.py", "benchmarks/peers/b.py"):
        (tmp_path / name).write_text("2")
        assert commit() == f"{clean}-dirty"
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(stored, "ROOT", pathlib.Path(tmp_path.anchor))
    assert commit() is None


def test_smoke_runs_are_not_published():
    for program in (step, scale, loading):
        assert program.parse(["--smoke"]).out is None
        assert program.parse([]).out.parent == RESULTS


# Documents ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", tables.README_TABLES)
def test_tables_of_the_readme_are_small(name):
    text = report.table(name, stored.Results(RESULTS))
    if text.startswith("*Not measured"):
        return  # while results of a former code are gone
    head, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert head.count("|") == rule.count("|") == 4
    assert 3 <= len(rows) <= 6


each_picture = pytest.mark.parametrize(
    "picture", report.PICTURES, ids=lambda picture: picture.path.stem
)


@each_picture
def test_pictures_show_the_published_results(picture):
    results = stored.Results(RESULTS)
    assert not picture.is_stale(results)
    assert report.update_picture(picture, results, is_check=True) == []


@each_picture
def test_a_picture_is_drawn_anew_when_results_change(picture, tmp_path):
    pytest.importorskip("matplotlib")
    picture = dataclasses.replace(picture, path=tmp_path / "picture.svg")
    results = stored.Results(tmp_path)
    # Without results it stays as it is.
    assert report.update_picture(picture, results, is_check=False) == []
    for name in ("scale", "methods-mnist"):
        file = stored.Results(RESULTS).one(name)
        (tmp_path / f"{name}.json").write_text(json.dumps(file))
    assert report.update_picture(picture, results, is_check=True)
    assert not picture.path.exists()
    assert report.update_picture(picture, results, is_check=False)
    drawn = picture.path.read_bytes()
    assert report.update_picture(picture, results, is_check=False) == []
    picture.write(results)
    assert picture.path.read_bytes() == drawn
    for name, part, key in (
        ("scale", "table", "peak_update_mb"),
        ("methods-mnist", "rows", "final_mean"),
    ):
        file = results.one(name)
        for row in file[part]:
            row[key] *= 0.9
        (tmp_path / f"{name}.json").write_text(json.dumps(file))
    assert report.update_picture(picture, results, is_check=True)


@each_picture
def test_a_picture_needs_matplotlib(picture, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="matplotlib"):
        picture.write(stored.Results(RESULTS))


@pytest.mark.parametrize(
    "name", ["README.md", "RESULTS.md", "SETTINGS.md", "METHODS.md"]
)
def test_links_lead_somewhere(name):
    folder = RESULTS.parent
    text = (folder / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        other = folder / (path or name)
        assert other.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.M)
            words = (re.sub(r"[^\w -]", "", title.lower()) for title in titles)
            assert anchor in {each.replace(" ", "-") for each in words}, target
