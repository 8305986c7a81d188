"""Rules of the house that a reader should be able to rely on, read off the sources."""

import ast
import collections
import graphlib
import os
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

import truesparse
from truesparse.kernels import jit

PACKAGE = pathlib.Path(truesparse.__file__).parent
ROOT = PACKAGE.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    # Imports nothing until a name is asked for.
    if path != PACKAGE / "__init__.py"
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
# Not kernels: what compiles them and allocates for them.
KERNELS = sorted(
    name
    for name in MODULES
    if name.startswith("truesparse.kernels.")
    and name.split(".")[-1] not in ("__init__", "aligned", "jit")
)

# A package or module imports from the lines above it, or from itself.
LAYERS = (
    {"errors", "lazy", "tasks"},
    {"checks", "memory"},
    {"datasets", "kernels", "rng", "schedules"},
    {"activations", "losses", "optimizers"},
    {"sparse"},
    {"drawing", "export"},
    {"network"},
    {"storage"},
    {"condensed", "topology"},
    {"training"},
    {"callbacks", "checkpoint"},
    {"plots"},
    {"commands", "estimators"},
    {"info", "predict", "report", "train"},
)
RANKS = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

MOST_AT_THE_TOP = 30
MOST_MODULES = 13
# Larger packages, with the reason.
LARGE = {
    "truesparse.kernels": "one file a kernel, and those it is made of",
    "truesparse.topology": "one file an algorithm; what they share is in parts/",
    "truesparse.datasets": "one file a format and a source",
}
# Packages whose docstring lists every file.
INDEXED = ("drawing", "drawing.patterns", "kernels", "sparse")

PRINTING = {"callbacks", "commands", "info", "predict", "report", "train"}
# Libraries that are imported within functions only, and by whom.
HEAVY = {
    "sklearn": ("datasets", "estimators"),
    "pandas|pyarrow": ("datasets",),
    "matplotlib|PIL": ("plots", "commands"),
    "onnx|torch": ("export",),
    "tensorboard": ("callbacks",),
}

MOST_LINES = 400
MOST_PARAMETERS = 8
DECORATORS = {
    *("kernel", "parallel_kernel"),
    *("inner_kernel", "inlined_kernel", "exact_kernel"),
}
# Single instructions, emitted for the compiler rather than written in Python.
INSTRUCTIONS = {"condensed", "simd", "simd_numpy", "subnormal", "windows"}
# Rules of the optimisers become part of the kernel that calls them.
INLINED_SIGNATURE = ["rule", "values", "first", "second", "p", "g"]


def imports(name, only_top=False):
    """Return the full names of all modules that a module may import."""
    names, body = set(), TREES[name].body
    nodes = body if only_top else ast.walk(TREES[name])
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # The parent of a module, or a package itself in its __init__.
            parents = name.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def local_imports(name):
    """Return those of them that belong to truesparse."""
    packages = {f"{module}.__init__" for module in imports(name)}
    return (imports(name) | packages) & set(MODULES)


def part(name):
    return name.split(".")[1]


def functions(name, decorated=False):
    body = TREES[name].body
    nodes = [node for node in body if isinstance(node, ast.FunctionDef)]
    return [f for f in nodes if decorators(f) & DECORATORS] if decorated else nodes


def decorators(function):
    names = (d.func if isinstance(d, ast.Call) else d for d in function.decorator_list)
    return {getattr(name, "attr", getattr(name, "id", "")) for name in names}


def parameters(function):
    return [argument.arg for argument in function.args.args]


# Structure ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    assert part(name) in RANKS, f"say in LAYERS where {name} belongs"
    for other in local_imports(name):
        is_below = RANKS[part(other)] < RANKS[part(name)]
        assert is_below or part(other) == part(name), f"{name} imports {other}"


def test_the_top_level_is_small():
    assert len({part(name) for name in MODULES}) <= MOST_AT_THE_TOP


def test_packages_are_small_or_say_why_not():
    files = (name.rpartition(".") for name in MODULES)
    sizes = collections.Counter(package for package, _, file in files if file[0] != "_")
    del sizes["truesparse"]  # see the test above
    assert {name for name in sizes if sizes[name] > MOST_MODULES} == set(LARGE)


@pytest.mark.parametrize("package", INDEXED)
def test_an_index_names_every_file(package):
    folder = PACKAGE.joinpath(*package.split("."))
    text = ast.get_docstring(TREES[f"truesparse.{package}.__init__"])
    files = {path.stem for path in folder.iterdir() if path.stem[0] != "_"}
    for file in files:
        assert re.search(rf"^ *{file} ", text, re.MULTILINE), file


@pytest.mark.parametrize("name", MODULES)
def test_private_names_stay_in_their_module(name):
    for other in local_imports(name) - {name}:
        private = {each for each in imports(name) if each.startswith(f"{other}._")}
        assert not private - set(MODULES), f"{name} imports {private}"


def test_imports_form_no_circle():
    graph = {name: local_imports(name) - {name} for name in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


def test_the_reader_of_imports_sees_them():
    assert "truesparse.kernels.simd" in local_imports("truesparse.kernels.forward")
    assert "truesparse.sparse.layer" in local_imports("truesparse.network.sparse_mlp")
    assert "truesparse.topology.__init__" in local_imports(
        "truesparse.training.trainer"
    )
    assert "truesparse.datasets.prepare" in local_imports("truesparse.datasets.__init__")
    # Also within functions.
    assert "truesparse.storage.models" in local_imports("truesparse.train")


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_are_loaded_where_they_are_needed(name):
    for library, homes in HEAVY.items():
        heavy = re.compile(rf"({library})\b")
        assert part(name) in homes or not any(map(heavy.match, imports(name)))
        # The estimators are what they are by scikit-learn.
        if part(name) != "estimators":
            assert not any(map(heavy.match, imports(name, only_top=True)))
    if part(name) != "kernels":
        assert "numba" not in {module.split(".")[0] for module in imports(name)}
    # A model file must not be able to run code.
    assert not imports(name) & {"pickle", "marshal", "shelve"}


def test_the_readers_of_data_do_not_know_the_engine():
    for name in MODULES:
        if part(name) == "datasets":
            others = {part(other) for other in local_imports(name)}
            assert others <= {"checks", "datasets", "errors", "tasks"}


SOURCES = [
    path
    for folder in ("truesparse", "tests", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_finished(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    # Spelt so that this file does not contain them.
    assert not re.search("TO" + "DO|FIX" + "ME", text)
    # A file opens with what it is about.
    assert not text or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("name", MODULES)
def test_only_the_command_line_and_callbacks_print(name):
    calls = (node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call))
    prints = any(getattr(call.func, "id", "") == "print" for call in calls)
    assert not prints or part(name) in PRINTING


# Documentation and types -------------------------------------------------------------


def public(body):
    """Yield public functions and classes, and the public methods of the latter."""
    for node in body:
        is_definition = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if is_definition and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_is_documented(name):
    for node in public(TREES[name].body):
        text = ast.get_docstring(node) or ""
        assert text, f"{node.name} has no docstring"
        summary = text.split("\n\n")[0]
        assert "\n" not in summary, f"{node.name}: more than one line of summary"
        assert summary.endswith(".") or isinstance(node, ast.ClassDef)


# Kernels -----------------------------------------------------------------------------


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
        "from truesparse.kernels.rewire import _merge_rows\n_merge_rows()",
        "from truesparse.kernels.simd import ahead as f\ndef test(): return f(1, 2)",
        "from truesparse.kernels import rewire as r\nx = r._merge_rows",
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


def test_importing_everything_compiles_nothing():
    names = [
        module.name
        for module in pkgutil.walk_packages([str(PACKAGE)], "truesparse.")
        if not module.name.endswith("__main__")
    ]
    assert len(names) > 40
    program = (
        "import importlib\n"
        "from numba.core import event\n"
        "with event.install_recorder('numba:compile') as recorder:\n"
        f"    for name in {names}: importlib.import_module(name)\n"
        "assert not recorder.buffer, recorder.buffer\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
