"""Command line: test the engine on this machine, in under a minute.

    python -m truesparse.selftest

Kernels against dense matrices, gradients, bits on any number of threads, files and
digests, a killed run, memory. A process of its own runs the checks, for a kernel may
end it. The report goes to stdout; paste it into an issue if something fails. The exit
code is 1 then.
"""

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from truesparse.commands import shell


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return shell.run_command(_main, arguments)


def _main(words: list[str]) -> None:
    parser = shell.CommandParser(
        "truesparse.selftest",
        "Test truesparse on this machine; the exit code is 1 if a check fails.",
        codes=(2,),
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    options = parser.parse(words)
    shell.start_engine(None)
    machine = describe_machine()
    if not options.json:
        print("\n".join(f"{name:<12} {text}" for name, text in machine.items()))
        print(flush=True)
    results = list(_run(not options.json))
    n_failed = sum(not result["passed"] for result in results)
    if options.json:
        print(json.dumps({"machine": machine, "checks": results}))
    else:
        seconds = sum(result["seconds"] for result in results)
        verdict = (
            f"{n_failed} of {len(results)} checks FAILED: do not trust results of this "
            "installation; please report it with the text above"
            if n_failed
            else f"all {len(results)} checks passed"
        )
        print(f"\n{verdict} ({seconds:.0f} s)")
    if n_failed:
        raise SystemExit(1)


def describe_machine() -> dict[str, str]:
    """Return what results and speed may depend on."""
    from truesparse.common import memory
    from truesparse.kernels import jit
    from truesparse.training.checkpoints import versions

    libraries = dict(versions())
    version = libraries.pop("truesparse")
    cpu, simd = jit.host()
    return {
        "truesparse": version,
        "python": f"{platform.python_version()}, {platform.platform()}",
        "libraries": ", ".join(f"{name} {text}" for name, text in libraries.items()),
        "processor": f"{cpu}, {os.cpu_count()} cores, {' '.join(simd)}",
        "memory": f"{memory.human(memory.available()[0])} available",
    }


def _run(speaks: bool) -> Iterator[dict[str, Any]]:
    """Run the checks and yield a record of each."""
    from truesparse.commands.self_checks import CHECKS

    names = list(CHECKS)
    done = 0
    while done < len(names):
        started = time.perf_counter()
        with _start(done) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    with contextlib.suppress(ValueError):  # what a library says
                        yield _say(json.loads(line), speaks)
                        done += 1
                        started = time.perf_counter()
                code = process.wait()
            finally:
                process.kill()
        if done == len(names) and code:
            names.append("the end of the process")
        if done < len(names):
            # A kernel that ends its process is a finding, too; the others follow.
            text = f"the process ended with {_describe_end(code)}"
            seconds = time.perf_counter() - started
            result = {"check": names[done], "passed": False, "seconds": seconds}
            yield _say({**result, "text": text}, speaks)
            done += 1


def _start(first: int) -> "subprocess.Popen[str]":
    """Start a process that runs the checks from number `first` on."""
    words = ["-X", "faulthandler", "-m", "truesparse.commands.self_checks", str(first)]
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)


def _say(result: dict[str, Any], speaks: bool) -> dict[str, Any]:
    if speaks:
        verdict = "ok" if result["passed"] else "FAILED"
        print(
            f"{verdict:<7} {result['check']:<32} {result['seconds']:5.1f} s  "
            f"{result['text']}",
            flush=True,
        )
    return result


def _describe_end(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the signal {signal.Signals(-code).name}"
    return f"exit code {code}"


if __name__ == "__main__":
    sys.exit(main())
