"""Reports: whatever a run folder holds, the page is whole, safe and sufficient."""

import base64
import io as streams
import json
import os
import pathlib
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from support.drawing import model_of, random_masks

from truesparse.commands import report_pictures
from truesparse.commands.config import RunConfig
from truesparse.commands.config_files import to_toml
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.report import main, write_report
from truesparse.storage import models

HOSTILE = "</style><script>alert(1)</script><img src=x onerror='a()'>\"&\x00\u202e$\\"
CONFIG, METRICS, MODEL = "config.toml", "metrics.jsonl", "model.safetensors"


class Page(HTMLParser):
    """What a reader sees of a page, and all that could do harm."""

    VOID = ("img", "meta")

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes = [], [], []
        self.words, self.pictures = [], {}
        self.source = pathlib.Path(path).read_bytes()
        self.feed(self.source.decode("utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "img":
            attributes = dict(attrs)
            kind, data = attributes["src"].split(",", 1)
            assert kind == "data:image/png;base64"
            png = base64.b64decode(data, validate=True)
            self.pictures[attributes["alt"]] = Image.open(streams.BytesIO(png))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1] != "style":
            self.words.append(data.strip())

    def value(self, name):
        """Return the cell beside a name."""
        return self.words[self.words.index(name) + 1]

    def check(self):
        """Assert that nothing runs and nothing is loaded."""
        known = ("h1", "h2", "table", "tr", "th", "td", "section", "div", "p", "img")
        head = ("html", "head", "meta", "title", "style", "body")
        assert set(self.tags) <= {*known, *head}
        for name, value in self.attributes:
            assert not name.startswith("on")
            assert name not in ("href", "srcset", "style")
            assert name != "src" or value.startswith("data:image/png;base64,")
        assert self.tags.count("style") == 1
        assert all(len(alt) > 10 for alt in self.pictures)
        assert b"url(" not in self.source
        assert b"\x00" not in self.source


def epoch(number, **fields):
    parts = {"step": 10 * number, "train_loss": 1 / number, "val_loss": None}
    parts |= {"val_score": None, "seconds": 2.0, "rss_mb": 100.0 + number}
    return {"event": "epoch", "epoch": number} | parts | fields


def update(step, layer=0):
    parts = {"layer": layer, "removed": 3, "grown": 3, "nnz": 10, "regrown": 0}
    return {"event": "topology", "epoch": step // 10, "step": step} | parts


START = {
    "event": "run_start",
    **{"layer_sizes": [9, 12, 10, 3], "nnz": 50, "density": 0.2},
    **{"epochs": 3, "samples": 70, "seed": 0},
}
END = {"event": "run_end", "epoch": 3, "step": 30}


def make_run(folder, *events, config=None, model=None, tail=""):
    """Write a run folder of those parts that are given."""
    if events:
        lines = "".join(json.dumps(event) + "\n" for event in events)
        (folder / METRICS).write_text(lines + tail)
    if config is not None:
        (folder / CONFIG).write_text(to_toml(config))
    if model is not None:
        models.save(model, folder / MODEL)
    return folder


def report(folder):
    page = Page(write_report(folder))
    page.check()
    return page


def call(capsys, *words):
    capsys.readouterr()
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


@pytest.fixture
def without_pictures(monkeypatch):
    """They take their time."""
    monkeypatch.setattr(report_pictures, "draw_sections", lambda run: [])


def small_model():
    return model_of(*random_masks(9, 12, 3))


def test_a_whole_run(tmp_path):
    config = RunConfig(data="digits", hidden=(12, 10), topology="rigl", epochs=3)
    events = [START]
    for number in (1, 2, 3):
        scores = {"val_loss": 2.0, "val_score": 0.9 - 0.1 * number, "explored": 0.25}
        events += [update(10 * number), epoch(number, **scores)]
    model = small_model()
    page = report(make_run(tmp_path, *events, END, config=config, model=model))
    assert page.value("Data") == "digits, 70 training samples"
    assert page.value("Net") == "9 - 12 - 3, relu"
    assert page.value("Connections") == f"{model.nnz}, density {model.density:.3g}"
    assert page.value("Topology") == "rigl"
    assert page.value("Test accuracy") == "0.6000 (best 0.8000, epoch 1)"
    assert page.value("Test loss") == "2"
    assert page.value("Training loss") == "0.3333"
    assert page.value("Epochs") == "3"
    assert page.value("Training time") == "6.0 s, 2 s per epoch"
    assert page.value("Memory").startswith("103 MB")
    assert page.value("Cells explored") == "25 % of all"
    # Options as they differ from the defaults, and no others.
    assert page.value("hidden") == "[12, 10]"
    assert page.value("topology") == "rigl"
    assert page.value("epochs") == "3"
    assert not {"dropout", "momentum", "seed"} & set(page.words)
    # Loss, score, turnover, exploration, 2 bars, features, and 4 of each layer.
    assert len(page.pictures) == 7 + 4 * 2
    for picture in page.pictures.values():
        # Not empty: more colours than paper and ink have.
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
    assert "Loss of 3 epochs: training from 1 to 0.3333, validation from 2 to 2." in (
        page.pictures
    )
    assert ("content", "width=device-width, initial-scale=1") in page.attributes
    assert b"prefers-color-scheme: dark" in page.source


def test_hostile_words_are_only_words(tmp_path):
    folder = tmp_path / "<b onclick=x>"
    folder.mkdir()
    start = START | {"layer_sizes": HOSTILE, "seed": HOSTILE, "epochs": HOSTILE}
    events = [
        start | {"samples": HOSTILE, "nnz": HOSTILE, "density": [HOSTILE]},
        update(10) | {"growth": HOSTILE, "epoch": HOSTILE, "step": HOSTILE},
        epoch(1, val_score=HOSTILE, seconds=HOSTILE, rss_mb=HOSTILE, lr=HOSTILE),
        epoch(2, **{HOSTILE: HOSTILE}),
        {"event": HOSTILE},
        {"event": "run_end", "epoch": HOSTILE},
    ]
    make_run(folder, *events, config=RunConfig(data=HOSTILE))
    models.save(model_of(*random_masks(9, 3)), folder / MODEL)
    with open(folder / CONFIG, "a", encoding="utf-8") as file:
        key, value = json.dumps(HOSTILE[:-2]), json.dumps([HOSTILE])
        text = f"{key} = {value}\nnumber = 1979-05-27\n".replace("\\u0000", "\\u0001")
        file.write(text)
    page = report(folder)
    assert b"<script" not in page.source
    assert b"onclick=x>" not in page.source
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\u202e", "\ufffd")
    assert page.value("Data").startswith(shown)
    assert page.value("Seed") == "0"  # of config.toml
    assert page.value("number") == '"1979-05-27"'
    assert len(page.pictures) == 4 + 4


def test_a_lone_surrogate_is_not_written(tmp_path):
    page = report(make_run(tmp_path, START | {"seed": "\ud800"}, epoch(1)))
    assert page.value("Seed") == "\ufffd"


def test_long_values_are_cut(tmp_path):
    config = RunConfig(topology_arg={"word": "x" * 10_000})
    page = report(make_run(tmp_path, config=config))
    assert len(page.value("topology_arg")) < 600


def test_a_run_that_was_killed(tmp_path):
    tail = '{"event": "epoch", "epoch": 2, "tra'
    page = report(make_run(tmp_path, START, epoch(1), tail=tail))
    assert page.value("Epochs") == "1 of 3, running or killed"
    assert page.value("Net") == "9 - 12 - 10 - 3"
    assert page.value("Connections") == "50, density 0.2 initially"
    text = "\n".join(page.words)
    assert "1 line of metrics.jsonl could not be read" in text
    assert "no model.safetensors" in text
    assert "no config.toml" in text
    assert list(page.pictures) == ["Loss of 1 epoch: training from 1 to 1."]


def test_a_run_that_stopped_before_its_first_epoch_ended(tmp_path):
    page = report(make_run(tmp_path, START, END, model=small_model()))
    assert page.value("Epochs") == "0 of 3, stopped"
    assert "Test accuracy" not in page.words
    assert len(page.pictures) == 3 + 4 * 2


def test_a_resumed_run(tmp_path):
    events = [START, epoch(1), epoch(2), END, START, epoch(2, train_loss=9.0)]
    page = report(make_run(tmp_path, *events))
    assert page.value("Epochs") == "2 of 3, running or killed, started 2 times"
    assert page.value("Training loss") == "9"
    assert page.value("Training time") == "4.0 s, 2 s per epoch"


@pytest.mark.parametrize("part", [CONFIG, METRICS, MODEL])
def test_any_one_file_is_enough(tmp_path, part, without_pictures):
    folder = make_run(tmp_path, START, epoch(1), config=RunConfig())
    models.save(small_model(), folder / MODEL)
    for name in {CONFIG, METRICS, MODEL} - {part}:
        (folder / name).unlink()
    page = report(folder)
    assert sum("The run has no" in word for word in page.words) == 2


def test_a_regression_has_another_score(tmp_path, without_pictures):
    model = SparseMLP([4, 6, 1], loss="squared", epsilon=1)
    page = report(make_run(tmp_path, START, epoch(1, val_score=0.5), model=model))
    assert page.value("Test R2") == "0.5000 (best 0.5000, epoch 1)"


def test_deep_nets_are_shown_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(report_pictures, "MOST_LAYERS", 2)
    model = model_of(*random_masks(6, 6, 6, 6))
    page = report(make_run(tmp_path, model=model))
    histograms = [alt for alt in page.pictures if "Histogram" in alt]
    assert len(histograms) == 2
    assert "weights of layer 3 (output)" in histograms[1]
    assert "Only the first 1 of 3 layers and the last one are shown." in "\n".join(
        page.words
    )


def test_a_diverged_run(tmp_path):
    page = report(make_run(tmp_path, START, epoch(1, train_loss=None), END))
    assert page.value("Epochs") == "1 of 3, stopped"
    assert list(page.pictures) == ["Loss of 1 epoch: unknown."]


# Command line ------------------------------------------------------------------------


def test_the_path_is_printed(tmp_path, capsys):
    folder = make_run(tmp_path, START, epoch(1))
    assert call(capsys, folder) == (0, f"{folder / 'report.html'}\n", "")
    other = tmp_path / "other.html"
    other.write_text("old")
    assert call(capsys, folder, "--out", other, "--quiet") == (0, "", "")
    Page(other).check()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        METRICS,
        "other.html",
        "report.html",
    ]


def damage(folder, name, content=b"\xff\xfe = ["):
    (folder / name).write_bytes(content)
    return folder


CASES = {
    "no folder": (lambda run: run / "nowhere", 2, "there is no such folder"),
    "no run": (lambda run: run / "empty", 2, "holds none of config.toml"),
    "a file": (lambda run: run / METRICS, 2, "it is a file; give the --out of a run"),
    "no name": (lambda run: "", 2, "must name a folder"),
    "a NUL": (lambda run: "a\0b", 2, "not a run folder"),
    "config.toml": (lambda run: damage(run, CONFIG), 2, "cannot read configuration"),
    "model": (lambda run: damage(run, MODEL), 6, "cannot read model"),
}


@pytest.mark.parametrize("name", CASES)
def test_exit_codes(tmp_path, capsys, name):
    make_run(tmp_path, START, epoch(1))
    (tmp_path / "empty").mkdir()
    change, code, text = CASES[name]
    got, out, err = call(capsys, change(tmp_path))
    assert (got, out) == (code, "")
    assert text in err
    assert err.startswith("truesparse: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_metrics_that_are_no_file_are_missing_data(tmp_path, capsys):
    (tmp_path / METRICS).mkdir()
    code, _, err = call(capsys, tmp_path)
    assert code == 4
    assert "cannot read metrics" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "RUN"),
        (["a", "b"], "unknown argument b"),
        (["a", "--format", "pdf"], "--help lists what is accepted"),
    ],
)
def test_bad_words_are_refused_in_one_line(capsys, words, text):
    code, _, err = call(capsys, *words)
    assert code == 2
    assert text in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("out", ["no/such/folder.html", "", "."])
def test_a_report_that_cannot_be_written(tmp_path, capsys, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path, START, epoch(1))
    code, _, err = call(capsys, tmp_path, "--out", out)
    assert code == 2
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == [METRICS]


def test_an_old_report_stays_until_the_new_one_is_written(tmp_path, monkeypatch):
    folder = make_run(tmp_path, START, epoch(1))
    old = folder / "report.html"
    old.write_text("old")

    def fail(*paths):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    assert main([str(folder)]) == 7
    assert old.read_text() == "old"
    assert sorted(os.listdir(folder)) == [METRICS, "report.html"]


def test_pictures_do_not_follow_the_settings_of_whoever_makes_them(tmp_path):
    import matplotlib

    folder = make_run(tmp_path, START, epoch(1))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        page = report(folder)
    (picture,) = page.pictures.values()
    assert np.asarray(picture.convert("L")).mean() > 200
