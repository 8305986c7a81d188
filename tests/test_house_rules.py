"""Rules of the house that a reader should be able to rely on, read off the sources."""

import ast
import collections
import graphlib
import os
import pkgutil
import re
import subprocess
import sys

import pytest
from support.sources import (
    DOCUMENTS,
    MODULES,
    PACKAGE,
    ROOT,
    SOURCES,
    TREES,
    imports,
    local_imports,
    part,
    texts_of,
)

# A package or module imports from the lines above it, or from itself.
LAYERS = (
    {"errors"},
    {"common"},
    {"datasets", "kernels", "schedules"},
    {"activations", "losses", "optimizers"},
    {"sparse"},
    {"drawing", "export"},
    {"network"},
    {"storage"},
    {"condensed", "topology"},
    {"training"},
    {"callbacks", "checkpoint"},
    {"plots", "torch"},
    {"analysis"},
    {"commands", "estimators"},
    {"analyse", "info", "predict", "reference", "report", "selftest", "train"},
)
RANKS = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

MOST_AT_THE_TOP = 30
MOST_MODULES = 13
# Larger packages, with the reason.
LARGE = {
    "truesparse.kernels": "one file a kernel, and those it is made of",
    "truesparse.analysis": "one file a measure, and those it is made of",
    "truesparse.topology": "one file an algorithm; what they share is in parts/",
    "truesparse.datasets": "one file a format and a source",
    "truesparse.commands": "what several commands are made of, one file a step",
}
PRINTING = {
    *("analyse", "callbacks", "commands", "info"),
    *("predict", "reference", "report", "selftest", "train"),
}
# Libraries that are imported within functions only, and by whom.
HEAVY = {
    "sklearn": ("datasets", "estimators"),
    "pandas|pyarrow|h5py": ("datasets",),
    "matplotlib|PIL": ("plots", "commands"),
    "onnx": ("export",),
    "torch": ("export", "torch"),
    "tensorboard": ("callbacks",),
}

MOST_LINES = 400
# Files that a text names and that belong to others.
ELSEWHERE = {"program.py", "sparse_utils.py"}
# Names that say too little; and connections are not called links.
VAGUE_NAMES = {"found", "kept", "links", "own", "tell"}

FILES = [f"/{path.relative_to(ROOT)}" for path in (*SOURCES, *DOCUMENTS)]
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))


def name_of(path):
    return str(path.relative_to(ROOT))


def is_code(path):
    """Whether a path is a module or a package, and not a private one."""
    return path.name[0] != "_" and (path.suffix == ".py" or path.is_dir())


# Structure ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    assert part(name) in RANKS, f"say in LAYERS where {name} belongs"
    # The module __main__ of a package is a command, and so on top.
    is_command = name.endswith(".__main__")
    rank = len(LAYERS) if is_command else RANKS[part(name)]
    for other in local_imports(name):
        is_below = RANKS[part(other)] < rank
        assert is_below or part(other) == part(name), f"{name} imports {other}"


def test_no_two_modules_share_a_name():
    # But kernels, which are named after the module they serve, base classes, commands.
    others = [name for name in MODULES if part(name) != "kernels"]
    names = [name.removesuffix(".__init__").rpartition(".")[2] for name in others]
    counts = collections.Counter(names)
    assert {name for name in counts if counts[name] > 1} <= {"base", "__main__"}


def test_the_top_level_is_small():
    assert len({part(name) for name in MODULES}) <= MOST_AT_THE_TOP


def test_packages_are_small_or_say_why_not():
    files = (name.rpartition(".") for name in MODULES)
    sizes = collections.Counter(package for package, _, file in files if file[0] != "_")
    del sizes["truesparse"]  # see the test above
    assert {name for name in sizes if sizes[name] > MOST_MODULES} == set(LARGE)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_an_index_names_every_file(folder):
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    files = {path.stem for path in folder.iterdir() if is_code(path)}
    for file in files:
        # At the start of a line, alone or in a list.
        assert re.search(rf"^ *(\w+, )*{file}\b", text, re.MULTILINE), file


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
    assert "truesparse.datasets.prepare" in local_imports(
        "truesparse.datasets.__init__"
    )
    # Also within functions.
    assert "truesparse.storage.models" in local_imports("truesparse.train")


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_are_loaded_where_they_are_needed(name):
    for library, homes in HEAVY.items():
        heavy = re.compile(rf"({library})\b")
        assert part(name) in homes or not any(map(heavy.match, imports(name)))
        # These parts are what they are by a library.
        if part(name) not in ("estimators", "torch"):
            assert not any(map(heavy.match, imports(name, only_top=True)))
    if part(name) != "kernels":
        assert "numba" not in {module.split(".")[0] for module in imports(name)}
    # A model file must not be able to run code.
    assert not imports(name) & {"pickle", "marshal", "shelve"}


def test_the_readers_of_data_do_not_know_the_engine():
    for name in MODULES:
        if part(name) == "datasets":
            others = {part(other) for other in local_imports(name)}
            assert others <= {"common", "datasets", "errors"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
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


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_names_say_what_they_are(path):
    fields = ("id", "name", "arg", "asname")
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {getattr(node, field, None) for node in nodes for field in fields}
    # What is read may be of another library, as the tell of a file.
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    names |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    assert not names & VAGUE_NAMES


def test_importing_everything_compiles_nothing():
    names = [
        module.name
        for module in pkgutil.walk_packages([str(PACKAGE)], "truesparse.")
        if not module.name.endswith("__main__")
        # Needs torch, which may be missing; it imports no kernel that others do not.
        and not module.name.startswith("truesparse.torch")
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


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_begin_with_a_verb_or_a_noun(name):
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    for node in ast.walk(TREES[name]):
        text = ast.get_docstring(node) if isinstance(node, kinds) else None
        # At the start, or where the description of a parameter or attribute starts.
        start = r"(\A|^\w.*\n +)(Of|That of|Those) .*"
        assert not re.search(start, text or "", re.MULTILINE), text


@pytest.mark.parametrize("path", [*SOURCES, *DOCUMENTS], ids=name_of)
def test_what_texts_refer_to_exists(path):
    for text in texts_of(path):
        for name in re.findall(r"[\w/]+\.(?:py|md)\b", text):
            # What a reader is to write has a name in capitals.
            is_new = re.fullmatch(r"([\w/]*/)?[A-Z]+\.py", name)
            is_here = any(file.endswith(f"/{name.lstrip('/')}") for file in FILES)
            assert is_here or is_new or name in ELSEWHERE, name
        for name in re.findall(r"\bsee `*(\w+\.[\w.]*\w)", text):
            if name.split(".")[0] in RANKS and not name.endswith((".py", ".md")):
                pkgutil.resolve_name(f"truesparse.{name}")
