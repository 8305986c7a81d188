"""Commands connect to nothing: an audit hook hears all that they do."""

import importlib.util
import subprocess
import sys

import pytest
from support.commands import NET, ROOT

PROGRAM = """
import importlib, sys

HEARD = []

def hear(event, arguments):
    names = "connect", "getaddrinfo", "gethostby", "bind", "sendto", "sendmsg"
    if event.startswith((*(f"socket.{name}" for name in names), "urllib.")):
        HEARD.append((event, arguments))

sys.addaudithook(hear)
for line in sys.argv[1:]:
    name, *words = line.split()
    code = importlib.import_module(f"truesparse.{name}").main(words)
    assert code == 0, (line, code)
print(HEARD)
"""
CURVES = "--tensorboard" if importlib.util.find_spec("tensorboard") else ""
COMMANDS = [
    f"train --data iris {' '.join(NET)} --checkpoint-every 1 --out run {CURVES}",
    "train --resume run --epochs 4",
    "predict run rows.csv --out run/predictions.csv",
    "analyse run --only structure,graph",
    "report run",
    "info run",
    "export.__main__ run --to csr --out net.npz",
]


@pytest.mark.compiled
def test_no_command_connects_to_anything(tmp_path):
    (tmp_path / "rows.csv").write_text("1,2,3,4\n5,6,7,8\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *COMMANDS],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_hook_hears_a_connection():
    connects = "import socket\ntry: socket.create_connection(('localhost', 9), 0.1)\n"
    connects += "except OSError: pass\nfor line in"
    program = PROGRAM.replace("for line in", connects)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "socket.getaddrinfo" in done.stdout
    assert "socket.connect" in done.stdout
