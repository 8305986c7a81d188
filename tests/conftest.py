"""What all tests run under, and profiles of hypothesis.

These draw the same examples on every run, unless asked otherwise:
``pytest --hypothesis-profile explore`` draws other and many more.
"""

import os
import signal

# Read when SciPy is imported: scikit-learn skips a check without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# As the commands do: tests often share a machine, where idle threads must not spin.
os.environ.setdefault("GOMP_SPINCOUNT", "4000")

# A shell lets its background jobs ignore the one, nohup the other; tests of interrupts
# would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

from hypothesis import settings

from truesparse.kernels.jit import DISABLED

# With the JIT off a kernel call takes milliseconds: fewer examples cover its lines.
settings.register_profile(
    "ci",
    max_examples=8 if DISABLED else 25,
    deadline=None,
    derandomize=True,
    database=None,
)
settings.register_profile("explore", max_examples=300, deadline=None, database=None)
settings.load_profile("ci")
