"""Rules of all kernels, read off their sources: signatures, decorators, callers."""

import ast

import pytest
from support.sources import MODULES, ROOT, SOURCES, TREES, part

from truesparse.kernels import jit

# Not kernels: what compiles them and allocates for them.
KERNELS = sorted(
    name
    for name in MODULES
    if name.startswith("truesparse.kernels.")
    and name.split(".")[-1] not in ("__init__", "aligned", "jit")
)

MOST_PARAMETERS = 8
DECORATORS = {
    *("kernel", "parallel_kernel"),
    *("inner_kernel", "inlined_kernel", "exact_kernel"),
}
# Single instructions, emitted for the compiler rather than written in Python.
INSTRUCTIONS = {
    *("addresses", "bfloat16", "condensed", "simd", "simd_numpy", "subnormal"),
    "windows",
}
# Rules of the optimisers become part of the kernel that calls them.
INLINED_SIGNATURE = ["rule", "values", "first", "second", "p", "g"]


def functions(name, decorated=False):
    body = TREES[name].body
    nodes = [node for node in body if isinstance(node, ast.FunctionDef)]
    return [f for f in nodes if decorators(f) & DECORATORS] if decorated else nodes


def decorators(function):
    names = (d.func if isinstance(d, ast.Call) else d for d in function.decorator_list)
    return {getattr(name, "attr", getattr(name, "id", "")) for name in names}


def parameters(function):
    return [argument.arg for argument in function.args.args]


def test_there_are_kernels():
    assert sum(len(functions(name, decorated=True)) for name in KERNELS) > 20


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_take_few_parameters(name):
    for function in functions(name):
        if name.split(".")[-1] in INSTRUCTIONS and function.name.startswith("_"):
            continue
        # Numba hands the first one to an instruction, besides its arguments.
        given = [p for p in parameters(function) if p != "typingctx"]
        assert len(given) <= MOST_PARAMETERS, function.name
        assert not function.args.kwonlyargs
        assert not function.args.defaults
        # A group of arrays, handed over one by one: less for Numba to look at.
        assert function.args.vararg is None or function.args.vararg.arg == "fields"


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_compiled_by_the_decorators_of_jit(name):
    if name.split(".")[-1] in INSTRUCTIONS:
        return
    for function in functions(name):
        names = decorators(function)
        inlined = parameters(function) == INLINED_SIGNATURE
        assert len(names & DECORATORS) == (not inlined), function.name


INNER = {
    (name, function.name)
    for name in KERNELS
    for function in functions(name)
    if decorators(function) & {"inner_kernel", "inlined_kernel"}
}


def inner_names(tree, source=""):
    """Return the names of kernels without an entry for Python, and those of modules."""
    names = {name for module, name in INNER if module == source}
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                known_as, full = (
                    alias.asname or alias.name,
                    f"{node.module}.{alias.name}",
                )
                if (node.module, alias.name) in INNER:
                    names.add(known_as)
                if full in KERNELS:
                    modules[known_as] = full
    return names, modules


def inner_kernels_outside_kernels(tree, source=""):
    """Return the kernels of that kind that code uses which is not compiled."""
    names, modules = inner_names(tree, source)
    used = set()
    for top in tree.body:
        if isinstance(top, ast.FunctionDef) and decorators(top) & DECORATORS:
            continue
        for node in ast.walk(top):
            if isinstance(node, ast.Name) and node.id in names:
                used.add(node.id)
            if isinstance(node, ast.Attribute):
                module = modules.get(getattr(node.value, "id", ""))
                if (module, node.attr) in INNER:
                    used.add(node.attr)
    return used


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_has_no_entry_for_python_is_called_by_kernels_alone(path):
    name = next((name for name in KERNELS if MODULES[name] == path), "")
    assert not inner_kernels_outside_kernels(ast.parse(path.read_text()), name)


@pytest.mark.parametrize(
    "call",
    [
        "from truesparse.kernels.rewire import _merge_index_rows\n_merge_index_rows()",
        "from truesparse.kernels.simd import ahead as f\ndef test(): return f(1, 2)",
        "from truesparse.kernels import rewire as r\nx = r._merge_index_rows",
    ],
)
def test_a_call_from_python_is_seen(call):
    assert len(INNER) > 15
    assert inner_kernels_outside_kernels(ast.parse(call))


@pytest.mark.parametrize("name", MODULES)
def test_numba_is_told_how_to_compile_in_one_place(name):
    nodes = list(ast.walk(TREES[name]))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name)}
    compilers = {"njit", "jit", "vectorize", "guvectorize", "jitclass", "stencil"}
    if name == "truesparse.kernels.jit":
        assert names & compilers == {"njit"}
    elif part(name) != "kernels":
        assert not names & (compilers - {"jit"})
    else:
        # Of what is called jit here, only the module of that name.
        calls = (node.func for node in nodes if isinstance(node, ast.Call))
        assert not any(getattr(call, "id", "") in compilers for call in calls)


def test_a_change_of_any_kernel_source_renews_the_compile_cache():
    paths = [path for name, path in MODULES.items() if part(name) == "kernels"]
    stats = [path.stat() for path in paths]
    newest, size = max(s.st_mtime for s in stats), sum(s.st_size for s in stats)
    assert jit._package_stamp() == (newest, size)
