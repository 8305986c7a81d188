"""Promises that CI shows in full: their commands are run, and their tests counted."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

from tests.long.registry import Figures, lane

ROOT = pathlib.Path(__file__).parents[3]
# By name: the promise, and the files of its tests.
TESTS = {
    "damaged-data": (
        "damaged files of data are refused in one line",
        ("tests/datasets/test_damaged.py", "tests/datasets/test_mat5.py"),
    ),
    "divergence": (
        "divergence names its step and layer",
        ("tests/network/test_faults.py",),
    ),
    "hostile-names": (
        "names of data are escaped in pages, and safe in file names and cells",
        ("tests/commands/test_hostile_names.py",),
    ),
    "interrupts": (
        "a signal, a deadline or a closed terminal ends every phase of a command with "
        "what was trained saved",
        (
            "tests/commands/test_interrupts.py",
            "tests/commands/test_train_signals.py",
        ),
    ),
    "limits": (
        "at the limits of sizes and values training works, or says why it does not",
        ("tests/test_limits.py",),
    ),
    "memory": (
        "memory stays below the estimate, and a run beyond a limit is refused",
        (
            "tests/commands/test_estimate.py",
            "tests/commands/test_memory_limits.py",
            "tests/common/test_memory.py",
        ),
    ),
    "network": (
        "no command connects to anything, but to fetch data with --fetch",
        ("tests/commands/test_no_network.py",),
    ),
    "run-folders": (
        "a damaged checkpoint gives way to the one before; a second process is refused",
        (
            "tests/commands/test_run_folder_faults.py",
            "tests/commands/test_damaged_runs.py",
        ),
    ),
}
SELF_TEST = "python -m truesparse.selftest"


def run_tests(files: tuple[str, ...], seed: int, count: int) -> Figures:
    """Run the tests of files; each test is a case. Seed and count change nothing."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder, "report.xml")
        words = ["pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        done = _call(*words, *files)
        cases = []
        if report.exists():
            cases = list(ElementTree.parse(report).iter("testcase"))
        if not cases or done.returncode not in (0, 1):
            figures.fail(f"pytest ends with {done.returncode}: {_end_of(done)}")
        for case in cases:
            name = f"{case.get('classname')}.{case.get('name')}"
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                figures.fail(name)
            else:
                figures.add("skipped" if "skipped" in kinds else "passed")
    return figures


def self_test(seed: int, count: int) -> Figures:
    """Run the self-test; each of its checks is a case."""
    figures = Figures()
    done = _call("truesparse.selftest", "--json")
    if done.returncode not in (0, 1):
        figures.fail(f"the self-test ends with {done.returncode}: {_end_of(done)}")
        return figures
    for check in json.loads(done.stdout)["checks"]:
        if check["passed"]:
            figures.add("passed")
        else:
            figures.fail(f"{check['check']}: {check['text']}")
    return figures


def _call(module: str, *words: str) -> subprocess.CompletedProcess:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )


def _end_of(done: subprocess.CompletedProcess) -> str:
    return " ".join((done.stdout + done.stderr).split())[-300:]


for _name, (_promise, _files) in TESTS.items():
    lane(_name, _promise, batch=1, test=f"pytest {' '.join(_files)}")(
        functools.partial(run_tests, _files)
    )
lane("self-test", "all of it on your machine", batch=1, test=SELF_TEST)(self_test)
