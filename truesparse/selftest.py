"""Command line: test the engine on this machine, in under a minute.

    python -m truesparse.selftest

Kernels against dense matrices, gradients, bits on any number of threads, files and
digests, a killed run, memory. The report goes to stdout; paste it into an issue if
something fails. The exit code is 1 then.
"""

import json
import os
import platform
import sys
import time
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


def _run(speaks: bool) -> Any:
    """Run the checks and yield a record of each."""
    from truesparse.commands.self_checks import CHECKS

    for name, check in CHECKS.items():
        started = time.perf_counter()
        try:
            passed, text = True, check()
        except Exception as error:
            # Whatever goes wrong here is what the command is there to find.
            passed, text = False, f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - started
        if speaks:
            verdict = "ok" if passed else "FAILED"
            print(f"{verdict:<7} {name:<32} {seconds:5.1f} s  {text}", flush=True)
        yield {"check": name, "passed": passed, "seconds": seconds, "text": text}


if __name__ == "__main__":
    sys.exit(main())
