"""The sources of truesparse as syntax trees, for tests that read rules off them."""

import ast
import pathlib
import tokenize

import truesparse

PACKAGE = pathlib.Path(truesparse.__file__).parent
ROOT = PACKAGE.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    # Imports nothing until a name is asked for.
    if path != PACKAGE / "__init__.py"
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
_FOLDERS = ("truesparse", "tests", "benchmarks", "examples")
SOURCES = [
    path for folder in _FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))
]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *(
        path
        for folder in (*_FOLDERS, "data", "docs")
        for path in sorted((ROOT / folder).rglob("*.md"))
    ),
]


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
    """Return the package or module of the top level that a module belongs to."""
    return name.split(".")[1]


def texts_of(path):
    """Yield the docstrings and comments of a source file, or all of a document."""
    if path.suffix == ".md":
        yield path.read_text(encoding="utf-8")
        return
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            is_comment = token.type == tokenize.COMMENT
            is_string = token.type == tokenize.STRING
            if is_comment or (is_string and token.string.endswith('"""')):
                yield token.string
