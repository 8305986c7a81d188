"""Names that are loaded when first used: the lists of them in a package agree."""

import ast
import importlib
import pathlib

import pytest

import truesparse

PACKAGE = pathlib.Path(truesparse.__file__).parent
LAZY = [
    ".".join(path.parent.relative_to(PACKAGE.parent).parts)
    for path in sorted(PACKAGE.rglob("__init__.py"))
    if "import attach" in path.read_text(encoding="utf-8")
]


def imported_for_type_checkers(package):
    """Return the module of each name under ``if TYPE_CHECKING``."""
    tree = ast.parse(pathlib.Path(package.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    lines = [line for block in blocks for line in block.body]
    return {alias.name: line.module for line in lines for alias in line.names}


def test_there_are_lazy_packages():
    assert {"truesparse", "truesparse.plots", "truesparse.callbacks"} <= set(LAZY)


@pytest.mark.parametrize("name", LAZY)
def test_type_checkers_and_the_runtime_see_the_same_names(name):
    package = importlib.import_module(name)
    typed = imported_for_type_checkers(package)
    modules = set(getattr(package, "_MODULES", ()))
    lazy = set(package.__dir__()) - set(vars(package)) - modules
    assert lazy == set(typed)
    assert lazy | modules <= set(package.__all__) <= set(package.__dir__())
    for attribute, module in typed.items():
        home = importlib.import_module(module)
        assert getattr(package, attribute) is getattr(home, attribute)


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'SparseMLPs'"):
        truesparse.SparseMLPs  # noqa: B018 - the access is what fails
