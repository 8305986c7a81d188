"""Names of a package that are loaded when first used.

Such a package lists its names three times, once for each reader: the imports under
``if TYPE_CHECKING`` for type checkers and editors, ``_HOMES`` for `attach`, and
``__all__`` for star imports and people. None of them can be computed from another one:
type checkers read literals only. tests/common/test_lazy.py compares the three.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attach(
    package: str, homes: Mapping[str, str], modules: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    homes : mapping of str to str
        For each name, the module of the package that defines it.
    modules : tuple of str
        Modules that can be reached as attributes.

    Examples
    --------
    >>> from truesparse.common.lazy import attach
    >>> load, _ = attach("truesparse", {"SparseMLP": "network.sparse_mlp"})
    >>> load("SparseMLP").__module__
    'truesparse.network.sparse_mlp'
    """

    def load(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return load, names
