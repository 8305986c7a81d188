"""Runs of the command line on a disk that fails, and what must hold after each."""

import contextlib
import errno
import functools
import importlib.util
import io
import json
import os
import pathlib
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import numpy as np
from support import golden
from support.commands import NET, SMALL
from support.io_faults import CAUSES, EXTENTS, SHORT, Fault, injected

from truesparse import analyse, checkpoint, load, predict, report, train
from truesparse.errors import TruesparseError
from truesparse.storage import models

RUN = [*SMALL["iris"], *NET, "--checkpoint-every", "1", "--restore-best"]
_PARTIAL = re.compile(r"\..*\.[0-9a-f]{8}\.part(\.\w+)?|\.lock")


@dataclass(frozen=True)
class Scenario:
    """A command whose files are in the folder ``run``.

    Attributes
    ----------
    words : list of str
    main : callable
    starts_from : list of str, optional
        Words of the training that comes first, without faults.
    output : str, optional
        File that the command writes, if it does not train.
    replaces : bool
        Whether it replaces an earlier file; otherwise it refuses to.
    library : str, optional
        What it needs.
    """

    words: list[str]
    main: Callable = train.main
    starts_from: list[str] | None = None
    output: str | None = None
    replaces: bool = True
    library: str | None = None


_export = importlib.import_module("truesparse.export.__main__").main


def _predicting(output: str, library: str | None = None) -> Scenario:
    words = ["run", "rows.csv", "--out", f"run/{output}"]
    return Scenario(words, predict.main, RUN, output, library=library)


def _analysing(output: str) -> Scenario:
    words = ["run", "--only", "structure", "--out", f"run/{output}"]
    return Scenario(words, analyse.main, RUN, output)


def _exporting(to: str, output: str, library: str | None = None) -> Scenario:
    words = ["run", "--to", to, "--shrink", "--out", f"run/{output}"]
    return Scenario(words, _export, RUN, output, replaces=False, library=library)


SCENARIOS = {
    "train": Scenario([*RUN, "--out", "run"]),
    "resume": Scenario(["--resume", "run", "--epochs", "5"], starts_from=RUN),
    "curves": Scenario([*RUN, "--tensorboard", "--out", "run"], library="tensorboard"),
    "report": Scenario(["run"], report.main, RUN, "report.html"),
    "analysis_html": _analysing("analysis.html"),
    "analysis_json": _analysing("analysis.json"),
    "predict_csv": _predicting("predictions.csv"),
    "predict_npz": _predicting("predictions.npz"),
    "predict_npy": _predicting("predictions.npy"),
    "predict_parquet": _predicting("predictions.parquet", "pyarrow"),
    "csr": _exporting("csr", "net.npz"),
    "onnx": _exporting("onnx", "net.onnx", "onnx"),
    "torch": _exporting("torch", "net.pt", "torch"),
}


def available() -> list[str]:
    """Return the scenarios whose libraries are installed."""
    return [
        name
        for name, scenario in SCENARIOS.items()
        if scenario.library is None or importlib.util.find_spec(scenario.library)
    ]


@functools.cache
def _template(name: str) -> str:
    """Return a folder in which the scenario begins; it lives as long as the process."""
    place = tempfile.TemporaryDirectory()
    _KEEP.append(place)
    with contextlib.chdir(place.name):
        draw = np.random.default_rng(0)
        np.savetxt("rows.csv", draw.random((5, 4)), delimiter=",", fmt="%.3f")
        os.mkdir("tmp")
        words = SCENARIOS[name].starts_from
        if words is not None:
            code, said = call(train.main, [*words, "--out", "run"])
            assert code == 0, said
            output = SCENARIOS[name].output
            if output is not None and SCENARIOS[name].replaces:
                pathlib.Path("run", output).write_text("old")
    return place.name


_KEEP: list[tempfile.TemporaryDirectory] = []


@functools.cache
def reference(name: str, from_previous: bool = False) -> tuple[str, int]:
    """Return the digest of what a scenario gives without faults, and its calls.

    With `from_previous` a complete run goes on from the checkpoint before its last one,
    and makes the topology update that its last epoch had not.
    """
    with _folder(name), injected("run") as calls:
        if from_previous:
            os.remove("run/checkpoint.safetensors")
        code, said = call(SCENARIOS[name].main, SCENARIOS[name].words)
        assert code == 0, said
        return _result(name), len(calls.names)


def _result(name: str) -> str:
    output = SCENARIOS[name].output
    if output is None:
        return golden.digest(load("run/model.safetensors"))
    wanted = [f"run/{output}"]
    if not SCENARIOS[name].replaces:
        wanted.append(f"run/{output}.neurons.npz")
    if not all(map(os.path.exists, wanted)):
        return "none"
    return "new" if pathlib.Path("run", output).read_bytes() != b"old" else "old"


def call(main, words) -> tuple[int, str]:
    """Return the exit code of a command and what it said, warnings included."""
    said = io.StringIO()
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("always")
        code = main(words)
    return code, said.getvalue()


@contextlib.contextmanager
def _folder(name: str):
    """Work in a copy of the template, where temporary files go as well."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(_template(name), place, dirs_exist_ok=True)
        with (
            contextlib.chdir(place),
            mock.patch("tempfile.tempdir", os.path.join(place, "tmp")),
        ):
            yield pathlib.Path(place)


@contextlib.contextmanager
def _saves():
    """Yield by path the steps that a file may hold: saved, or tried to be since."""
    steps: dict[str, list[int]] = {}
    failed: list[str] = []
    save = models.save

    def watched(model, path, **options):
        path = os.fspath(path)
        try:
            result = save(model, path, **options)
        except TruesparseError as error:
            failed.append(str(error))
            if path in steps:
                steps[path].append(model.step)
            raise
        steps[path] = [model.step]
        return result

    with mock.patch.object(models, "save", watched):
        yield steps, failed


def draw_faults(draw, name: str, count: int) -> list[Fault]:
    """Return faults at any call of a scenario."""
    n_calls = reference(name)[1]
    return [
        Fault(
            int(draw.integers(n_calls)),
            CAUSES[draw.integers(len(CAUSES))],
            EXTENTS[draw.integers(len(EXTENTS))],
        )
        for _ in range(count)
    ]


def every_fault(name: str) -> list[Fault]:
    """Return each cause and extent at each call of a scenario."""
    return [
        Fault(index, cause, extent)
        for index in range(reference(name)[1])
        for cause in CAUSES
        for extent in EXTENTS
    ]


def attempt(name: str, fault: Fault, whole: bool = False) -> tuple[str, list[str]]:
    """Run a scenario with a fault; return what became of it, and what was wrong.

    Parameters
    ----------
    name : str
    fault : Fault
    whole : bool
        Whether the folder of temporary files is on the same disk.
    """
    want, _ = reference(name)
    scenario, wrong = SCENARIOS[name], []
    with _folder(name):
        with (
            _saves() as (steps, failed),
            injected("." if whole else "run", fault) as calls,
        ):
            try:
                code, said = call(scenario.main, scenario.words)
            except BaseException as error:
                return "raised", [f"raised {error!r}"]
        if calls.failing is None:
            return "not reached", []
        if "is taken instead" in said:
            want, _ = reference(name, from_previous=True)
        where = calls.names[fault.index]
        if "Traceback" in said:
            wrong.append(f"traceback: {said}")
        # What cannot be read is refused, as ever, before or after the training.
        is_unread = code == 6 and "best.safetensors" in said
        is_refused = code in (2, 4, 6) and scenario.starts_from and not steps
        if code not in (0, 7) and not is_unread and not is_refused:
            wrong.append(f"code {code}: {said}")
        last = said.strip().splitlines()[-1] if said.strip() else ""
        if code == 7:
            number = errno.ENOSPC if fault.cause == SHORT else fault.cause
            if os.strerror(number) not in last:
                wrong.append(f"no cause in {last!r}")
            if scenario.output is None and "--out" not in last:
                wrong.append(f"no --out in {last!r}")
        elif (
            code == 0
            and _result(name) != want
            and not any("best" in text for text in failed)
        ):
            wrong.append("code 0, but not the result")
        if failed and "cannot write" not in said:
            wrong.append(f"said nothing of {failed}")
        wrong += _check_saved(steps)
        if scenario.output is not None:
            with contextlib.suppress(FileNotFoundError):
                content = pathlib.Path("run", scenario.output).read_bytes()
                if content != b"old" and not _is_whole(scenario.output):
                    wrong.append(f"half of {scenario.output} is there")
        # The best model is the best of those that could be saved.
        is_other = any("best" in text for text in failed)
        wrong += _check_next_run(name, None if is_other else want, steps)
        wrong = [f"{where}: {text}" for text in wrong]
    return f"code {code}", wrong


def _is_whole(output: str) -> bool:
    path = pathlib.Path("run", output)
    if path.suffix == ".npz":
        with np.load(path) as file:
            if output == "net.npz":
                return "layers.0.data" in file
            return len(file["prediction"]) == 5
    if path.suffix == ".npy":
        return len(np.load(path)) == 5
    if path.suffix in _READERS:
        return _READERS[path.suffix](path)
    text = path.read_text()
    if path.suffix == ".csv":
        return text.count("\n") == 6
    return text.endswith("</html>\n" if path.suffix == ".html" else "}\n")


def _is_onnx(path: pathlib.Path) -> bool:
    import onnx

    onnx.checker.check_model(path)
    return True


def _is_torch(path: pathlib.Path) -> bool:
    import torch

    return isinstance(torch.load(path, weights_only=True), dict)


def _is_parquet(path: pathlib.Path) -> bool:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).num_rows == 5


_READERS = {".onnx": _is_onnx, ".pt": _is_torch, ".parquet": _is_parquet}


def _check_saved(steps: dict[str, list[int]]) -> list[str]:
    """Return which saved files cannot be read, or hold something else."""
    wrong = []
    for path, accepted in steps.items():
        try:
            if path.endswith("checkpoint.safetensors"):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of the previous one
                    step = checkpoint.read(path).model.step
            else:
                step = load(path).step
        except TruesparseError as error:
            wrong.append(f"lost: {error}")
            continue
        if step not in accepted:
            wrong.append(f"{path} holds step {step}, not one of {accepted}")
    return wrong


def _check_next_run(name: str, want: str | None, steps) -> list[str]:
    """Return what is wrong when the disk works again; `want` is the known result."""
    scenario = SCENARIOS[name]
    has_checkpoint = any(path.endswith("checkpoint.safetensors") for path in steps)
    words = scenario.words
    if scenario.output is None and (scenario.starts_from or has_checkpoint):
        words = ["--resume", "run", "--epochs", "5" if scenario.starts_from else "3"]
    elif scenario.output is None:
        shutil.rmtree("run", ignore_errors=True)
    if not scenario.replaces:
        for path in pathlib.Path("run").glob(f"{scenario.output}*"):
            path.unlink()
    code, said = call(scenario.main, words)
    if code:
        return [f"the next run ends with {code}: {said}"]
    got, wrong = _result(name), []
    if want is not None and got != want:
        wrong.append("the next run gives another result")
    stray = [file.name for file in pathlib.Path("run").iterdir()]
    stray = [file for file in stray if _PARTIAL.fullmatch(file)]
    if stray and scenario.output is None:
        wrong.append(f"the next run leaves {stray}")
    lines = pathlib.Path("run", "metrics.jsonl").read_text().splitlines()
    epochs = [
        line["epoch"] for line in map(json.loads, lines) if line["event"] == "epoch"
    ]
    if epochs != sorted(set(epochs)):
        wrong.append(f"metrics of epochs {epochs}")
    return wrong
