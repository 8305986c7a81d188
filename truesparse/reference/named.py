"""What ``module:name`` on a command line stands for."""

import importlib
from collections.abc import Callable
from typing import Any

from truesparse.errors import UsageError


def load_named(spec: str, what: str) -> Callable[..., Any]:
    """Return the class or function that ``module:name`` names.

    Parameters
    ----------
    spec : str
    what : str
        What it is, for messages.

    Raises
    ------
    UsageError
        If there is none.

    Examples
    --------
    >>> from truesparse.reference.named import load_named
    >>> load_named("math:sqrt", "function")(9.0)
    3.0
    """
    module, _, name = spec.partition(":")
    if not module or not name:
        raise UsageError(f"the {what} must be module:name, got {spec!r}")
    try:
        thing = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"cannot import the {what} {spec!r}: {error}; give module:name, with the "
            "module on PYTHONPATH or in the present folder"
        ) from None
    if not callable(thing):
        raise UsageError(f"the {what} {spec!r} cannot be called: it is {thing!r}")
    return thing
