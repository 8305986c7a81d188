"""The page of a report: one HTML file without scripts or external files.

All text from the files of a run goes through `text`, which escapes it. A content
security policy keeps browsers from loading or running anything else.
"""

import base64
import html
import pathlib

from truesparse.commands.report_pictures import Picture, Section
from truesparse.commands.report_summary import Rows
from truesparse.common.writing import replacing

_MOST_CHARACTERS = 500
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --soft: #5a5a5a;
  --line: #d8d8d8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181c; --soft: #a8a8a8; --line: #3a3d42; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.25rem; }
p { margin: 0.25rem 0 0.75rem; color: var(--soft); max-width: 60ch; }
table { border-collapse: collapse; width: 100%; max-width: 48rem; }
th, td { padding: 0.3rem 0.75rem 0.3rem 0; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; width: 35%; }
.pictures { display: grid; gap: 0.75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
img { width: 100%; height: auto; background: #ffffff; border-radius: 4px; }
.note { color: var(--ink); border-left: 4px solid #D55E00; padding-left: 0.75rem; }
@media print { .pictures { display: block; } img { max-width: 48%; } }
"""


def render(
    title: str, notes: list[str], summary: Rows, options: Rows, sections: list[Section]
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title : str
    notes : list of str
        Remarks on missing files, shown at the top.
    summary, options : list of (name, text)
    sections : list of Section
    """
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{text(title)} - truesparse</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{text(title)}</h1>",
        *(f'<p class="note">{text(note)}</p>' for note in notes),
        *_table("Summary", "", summary),
        *_table(
            "Options",
            "Options that differ from their defaults, or whose defaults depend on the "
            "data or on other options.",
            options,
        ),
    ]
    for section in sections:
        parts += [
            "<section>",
            f"<h2>{text(section.title)}</h2>",
            f"<p>{text(section.text)}</p>",
            *_rows(section.rows),
            '<div class="pictures">',
            *(_image(picture) for picture in section.pictures),
            "</div>",
            "</section>",
        ]
    return "\n".join([*parts, "</body>", "</html>", ""])


def text(value: str) -> str:
    """Return a text as HTML: escaped, printable and cut to a readable length."""
    if len(value) > _MOST_CHARACTERS:
        value = value[:_MOST_CHARACTERS] + " ..."
    printable = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for letter in value
    )
    return html.escape(printable)


def write_page(page: str, path: pathlib.Path) -> None:
    """Write a page to a file; an existing file is replaced once all is written.

    Raises
    ------
    UsageError or StorageError
        If the file cannot be written, see common.writing.
    """
    with replacing(path, "report") as partial:
        partial.write_text(page, encoding="utf-8")


def _table(title: str, remark: str, rows: Rows) -> list[str]:
    if not rows:
        return []
    remarks = [f"<p>{text(remark)}</p>"] if remark else []
    head = ["<section>", f"<h2>{text(title)}</h2>", *remarks]
    return [*head, *_rows(rows), "</section>"]


def _rows(rows: Rows) -> list[str]:
    if not rows:
        return []
    cells = (
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>'
        for name, value in rows
    )
    return ["<table>", *cells, "</table>"]


def _image(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    return (
        f'<img alt="{text(picture.alt)}" width="{picture.width}" '
        f'height="{picture.height}" src="data:image/png;base64,{data}">'
    )
