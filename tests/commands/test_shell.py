"""What all commands share: exit codes, one line of error, terminals, entry points."""

import importlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import tomllib

import pytest
from support.commands import NET, ROOT, SMALL, call, finish, start
from support.processes import heavy_imports

from truesparse import errors
from truesparse.commands import shell
from truesparse.commands.shell import CommandParser, run_command
from truesparse.errors import UsageError

COMMANDS = ("train", "predict", "export", "info", "report", "analyse", "selftest")
# Where their functions `main` are: export is a package.
HOMES = {name: f"truesparse.{name}" for name in COMMANDS}
HOMES["export"] += ".__main__"
MAINS = tuple(importlib.import_module(home).main for home in HOMES.values())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Exit codes --------------------------------------------------------------------------


def kinds(base=errors.TruesparseError):
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        *((kind("why\nnot"), kind.exit_code, "why not") for kind in kinds()),
        (MemoryError("3 TiB"), 3, "out of memory: 3 TiB"),
        (OSError(28, "disk full"), 1, "[Errno 28] disk full"),
        (
            UnicodeEncodeError("ascii", "ä", 0, 1, "no"),
            1,
            "'ascii' codec can't encode character '\\xe4' in position 0: no",
        ),
        (KeyboardInterrupt(), 130, "stopped by SIGINT; nothing was written"),
        (shell.Terminated(), 143, "stopped by SIGTERM; nothing was written"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_become_one_line_and_a_code(error, code, text, capsys):
    def fail(words):
        raise error

    assert run_command(fail, []) == code
    assert capsys.readouterr() == ("", f"truesparse: {text}\n")
    assert run_command(fail, ["--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_bugs_and_exits_are_not_hidden():
    def fail(words):
        raise error

    for error in (ZeroDivisionError(), SystemExit(7)):
        with pytest.raises(type(error)):
            run_command(fail, [])


def test_a_broken_pipe_is_reported_by_the_code_alone(capsys):
    def fail(words):
        raise BrokenPipeError

    assert run_command(fail, []) == 1
    assert capsys.readouterr() == ("", "")


def test_the_words_are_those_of_the_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["name", "a", "b"])
    words = []
    assert run_command(words.extend) == 0
    assert words == ["a", "b"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_a_termination_is_reported_and_the_handler_put_back(number, capsys):
    def wait(words):
        os.kill(os.getpid(), number)
        time.sleep(5)

    before = signal.getsignal(number)
    assert run_command(wait, [], stopped="all is lost") == 128 + number
    text = f"truesparse: stopped by {number.name}; all is lost\n"
    assert capsys.readouterr().err == text
    assert signal.getsignal(number) is before


def test_with_stderr_closed_nothing_is_printed_on_stdout(capsys, monkeypatch):
    def fail(words):
        shell.say("some progress")
        raise UsageError("why")

    monkeypatch.setattr(sys, "stderr", None)
    assert run_command(fail, ["--debug"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("main", MAINS)
def test_every_command_reports_its_end_in_one_line(main, capsys, monkeypatch):
    def wait(self, words):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(CommandParser, "parse", wait)
    got = call(capsys, "a", "b", main=main)
    assert (got.code, got.out) == (143, "")
    assert got.err.startswith("truesparse: stopped by SIGTERM; n")
    assert got.err.count("\n") == 1


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (MAINS[0], []),
        (MAINS[1], ["model", "data"]),
        (MAINS[2], ["model", "--to", "csr", "--out", "file"]),
        (MAINS[3], ["file"]),
        (MAINS[4], ["run"]),
    ],
)
def test_every_command_says_which_flag_may_be_meant(main, words, capsys):
    got = call(capsys, *words, "--debgu", main=main)
    text = "unknown argument --debgu (did you mean --debug?)"
    assert (got.code, got.out) == (2, "")
    assert got.err == f"truesparse: {text}; --help lists what is accepted\n"


def test_a_thread_that_sets_no_handlers_runs_commands():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(run_command(len, [])))
    thread.start()
    thread.join()
    assert codes == [0]


def test_numba_learns_of_threads_before_it_starts(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    shell.allow_threads(None)
    assert "NUMBA_NUM_THREADS" not in os.environ
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    # Restored by monkeypatch, which otherwise does not know the name.
    monkeypatch.setenv("NUMBA_NUM_THREADS", "")
    del os.environ["NUMBA_NUM_THREADS"]
    shell.allow_threads(3)
    assert os.environ["NUMBA_NUM_THREADS"] == "3"
    with pytest.raises(UsageError, match="--threads must be from 1 to 8"):
        shell.allow_threads(9)


def test_commands_limit_spinning_unless_told_how(monkeypatch):
    # Restored by monkeypatch.
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert run_command(len, []) == 0
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    del os.environ["GOMP_SPINCOUNT"]
    assert run_command(len, []) == 0
    assert os.environ["GOMP_SPINCOUNT"] == "4000"


# Flags -------------------------------------------------------------------------------


def test_unknown_flags_are_refused_with_the_closest():
    parser = CommandParser("truesparse.some", "Does something.", codes=(2, 6))
    parser.add_argument("--labels")
    with pytest.raises(UsageError, match=r"argument --label \(did you mean"):
        parser.parse(["--label=3"])
    with pytest.raises(UsageError, match="unknown argument --nope; --help"):
        parser.parse(["--nope"])
    text = " ".join(parser.format_help().split())
    codes = "0 done, 2 usage, 6 model unreadable or changed, 7 could not be written"
    assert f"Exit codes: {codes}, above 128 stopped by a signal." in text
    assert parser.parse(["--labels", "x", "--debug"]).debug


# What the help of a command must say, among other things.
PROMISED = {
    "train": ("--neurons", "--epsilon", "default: digits"),
    "predict": ("MODEL", "--labels-only"),
    "export": ("MODEL", "--to onnx|torch|csr", "--out FILE"),
    "info": ("FILE", "--json"),
    "report": ("RUN", "--out"),
    "analyse": ("MODEL", "--data", "--out"),
    "selftest": ("the exit code is 1 if a check fails", "--json"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_answers_at_once(name, tmp_path):
    times = []
    for _ in range(3):
        started = time.perf_counter()
        got = finish(start("--help", cwd=tmp_path, module=f"truesparse.{name}"))
        times.append(time.perf_counter() - started)
    assert (got.code, got.err) == (0, "")
    assert f"python -m truesparse.{name}" in got.out
    for text in ("Exit codes: 0 done", *PROMISED[name]):
        assert text in got.out
    assert min(times) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loads_nothing_heavy(name):
    program = (
        f"from {HOMES[name]} import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert end.code == 0"
    )
    assert heavy_imports(program) == []


def test_the_package_has_entry_points():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["project"]["scripts"] == {
        f"truesparse-{name}": f"{home}:main" for name, home in HOMES.items()
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, ["--help"]) for name in COMMANDS),
        ("train", [*SMALL["iris"], "--dry-run", "--quiet"]),
    ],
)
def test_a_full_stdout_is_reported_in_one_line(name, words, tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", f"truesparse.{name}", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 7
    assert done.stderr == (
        "truesparse: cannot write to standard output: No space left on device\n"
    )


# Terminals ---------------------------------------------------------------------------


def on_a_terminal(*words, cwd, module="truesparse.train", **environment):
    """Return exit code and output of a process whose stdout and stderr are one."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 100))  # tqdm draws no bar on one without columns
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env=environment | {"NO_COLOR": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    parts = []
    # Reading fails when the process has closed its end.
    try:
        while part := os.read(ours, 1 << 16):
            parts.append(part)
    except OSError:
        pass
    os.close(ours)
    return process.wait(timeout=60), b"".join(parts).decode()


COLOUR = re.compile("\x1b\\[[0-9;]*m")


def test_no_colours_where_they_are_not_wanted(tmp_path):
    code, text = on_a_terminal(*SMALL["iris"], *NET, cwd=tmp_path)
    assert code == 0
    # The bar of a terminal, rather than a line an epoch.
    assert "%|" in text
    assert not COLOUR.search(text)
    for module in COMMANDS:
        name = f"truesparse.{module}"
        code, text = on_a_terminal("--help", cwd=tmp_path, module=name)
        assert code == 0
        assert "--debug" in text
        assert not COLOUR.search(text)


def test_a_pipe_gets_lines_without_control_characters(tmp_path):
    got = finish(start(*SMALL["iris"], *NET, "--json", cwd=tmp_path))
    assert got.code == 0
    for text in (got.out, got.err):
        assert not set(text) & {"\r", "\x1b", "\b"}


def test_a_handler_that_is_not_of_python_stays(monkeypatch):
    """None stands for it, which cannot be put back: that raised TypeError."""
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", None)
    assert run_command(lambda words: None, []) == 0
