"""All parts of an analysis, as text or as the sections of a page."""

from collections.abc import Iterable

from truesparse.commands import analysis_parts, structure_parts
from truesparse.commands.analysis_facts import Analysis
from truesparse.commands.analysis_parts import Part
from truesparse.commands.report_pictures import Section, draw_panels

_MAKERS = (
    analysis_parts.robustness_part,
    analysis_parts.ranks_part,
    structure_parts.structure_part,
    structure_parts.degrees_part,
    structure_parts.weights_part,
    structure_parts.features_part,
    structure_parts.patterns_part,
    analysis_parts.graph_part,
    analysis_parts.overlap_part,
    analysis_parts.densities_part,
)


def parts_of(analysis: Analysis) -> list[Part]:
    """Return the parts of an analysis, without those that were not measured."""
    return [part for make in _MAKERS if (part := make(analysis)) is not None]


def as_text(parts: Iterable[Part]) -> str:
    """Return the tables as text of fixed width."""
    lines = []
    for part in parts:
        if part.rows:
            lines += ["", part.title]
            width = max(len(name) for name, _ in part.rows)
            lines += [f"  {name.ljust(width)}  {text}" for name, text in part.rows]
    return "\n".join(lines[1:])


def as_sections(parts: Iterable[Part]) -> list[Section]:
    """Draw the parts for a report.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    import matplotlib.style

    sections = []
    # Not in the style that the user has set: all reports look alike.
    with matplotlib.style.context("default"):
        for part in parts:
            pictures = [
                picture
                for display, alts in part.pictures
                for picture in draw_panels(display, alts)
            ]
            sections.append(Section(part.title, part.text, pictures, part.rows))
    return sections
