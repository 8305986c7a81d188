"""The picture of the packages in README.md, drawn from the imports of the code.

cd tests && python -m support.architecture     # writes it into README.md
"""

import pathlib
import re

from test_house_rules import LAYERS, MODULES, imports, part

README = pathlib.Path(__file__).parents[2] / "README.md"
# Everything may import these, so that arrows to them would say nothing.
GROUND = LAYERS[0] | LAYERS[1]
PURPOSES = {
    "analysis": "what training made of a network",
    "callbacks": "what listens to a run",
    "checkpoint": "reads and writes checkpoints",
    "commands": "options, runs, reports",
    "condensed": "fast predictions",
    "datasets": "rows by name or file",
    "drawing": "first connections and weights",
    "estimators": "scikit-learn",
    "export": "SciPy, torch, ONNX",
    "kernels": "compiled loops over arrays",
    "network": "all layers: SparseMLP",
    "plots": "pictures",
    "reference": "what others are measured by",
    "sparse": "one layer",
    "storage": "model and run files",
    "topology": "what drops, what grows",
    "torch": "layers for PyTorch",
    "training": "the loop: Trainer",
}
BLOCK = re.compile(r"(?<=<!-- architecture -->\n).*?(?=<!-- /architecture -->)", re.S)


def boxes() -> dict[str, str]:
    """Return the box of each package; modules of one layer share theirs."""
    packages = {part(name) for name in MODULES if name.endswith(".__init__")}
    home = {}
    for layer in reversed(LAYERS):
        single = ", ".join(sorted(layer - packages))
        home |= {name: name if name in packages else single for name in sorted(layer)}
    return {name: box for name, box in home.items() if name not in GROUND}


def arrows() -> dict[str, set[str]]:
    """Return the boxes that each box imports from."""
    home = boxes()
    imported = {box: set() for box in home.values()}
    for name in MODULES:
        if name.endswith(".__main__"):
            continue  # a command, not what the package is made of
        if box := home.get(part(name)):
            local = {
                part(each) for each in imports(name) if each.startswith("truesparse.")
            }
            imported[box] |= {home[each] for each in local & home.keys()} - {box}
    return imported


def reachable(box: str, imported: dict[str, set[str]]) -> set[str]:
    """Return all boxes below a box."""
    below = imported[box]
    return below.union(*(reachable(each, imported) for each in below))


def mermaid() -> str:
    """Return the picture: every box, and the arrows that no others imply."""
    imported = arrows()
    ids = {box: box.split(", ")[0] for box in imported}
    lines = ["```mermaid", "graph TD"]
    for box, name in ids.items():
        purpose = PURPOSES.get(box)
        lines.append(f'    {name}["{box}' + (f'<br>{purpose}"]' if purpose else '"]'))
    for box, below in imported.items():
        implied = set().union(*(reachable(each, imported) for each in below))
        lines += [f"    {ids[box]} --> {ids[low]}" for low in sorted(below - implied)]
    return "\n".join([*lines, "```", ""])


def main() -> None:
    """Write the picture into README.md."""
    picture = mermaid()
    README.write_text(BLOCK.sub(lambda _: picture, README.read_text()))


if __name__ == "__main__":
    main()
