"""The flags of truesparse.train: one for every option of a run, and a few more."""

import argparse
import dataclasses
import tomllib
import typing
from collections.abc import Callable
from typing import Any

from truesparse.commands import resume
from truesparse.commands.config import CHOICES, KINDS, RunConfig, base_type, flag
from truesparse.commands.shell import CommandParser

# Options from the named one on stand under this title in the help.
_TITLES = {
    "data": "data",
    "target": "tables",
    "neurons": "network",
    "topology": "topology updates",
    "activation": "network",
    "optimizer": "training",
    "out": "run folder",
}


# Options that say how a table is read, which other commands have too.
READING = ("target", "drop", "index", "header", "delimiter", "decimal", "encoding")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every option; options that are not given are absent."""
    groups = {
        title: parser.add_argument_group(title)
        for title in dict.fromkeys(_TITLES.values())
    }
    title = ""
    for option in dataclasses.fields(RunConfig):
        title = _TITLES.get(option.name, title)
        _add_flag(groups[title], option)


def add_rows_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a command that gives rows to a model, see model_rows.py."""
    parser.add_argument(
        "--part",
        metavar="train|test|all",
        help="rows to take (default: test for named data sets and files with a "
        "test part, all for other files); data without a test part are split as in "
        "training",
    )
    parser.add_argument("--data-home", metavar="DIR", help="folder with data sets")
    parser.add_argument(
        "--fetch", action="store_true", help="download the data set if it is missing"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads (default: all cores)"
    )
    group = parser.add_argument_group("tables")
    for option in dataclasses.fields(RunConfig):
        if option.name in READING:
            _add_flag(group, option)


def _add_flag(group: argparse._ArgumentGroup, option: dataclasses.Field) -> None:
    text = option.metadata["help"]
    if option.default is not None and option.default is not False:
        text += f" (default: {option.default})"
    arguments: dict[str, Any] = {"help": text, "default": argparse.SUPPRESS}
    kind = base_type(typing.get_type_hints(RunConfig)[option.name])
    metavar = option.metadata["metavar"]
    if kind is dict:
        arguments |= {"action": _CollectOptions, "metavar": "KEY=VALUE"}
    elif kind == tuple[str, ...]:
        # One word each, as names of columns may hold any separator.
        arguments |= {"action": _CollectWords, "metavar": metavar}
    elif kind is bool:
        arguments["action"] = argparse.BooleanOptionalAction
    else:
        # RunConfig checks names, as its message suggests the closest one.
        names = CHOICES.get(option.name)
        metavar = metavar or ("|".join(names) if names else kind.__name__.upper()[0])
        arguments |= {"metavar": metavar, "type": _PARSERS[kind]}
    group.add_argument(flag(option.name), **arguments)


class _CollectOptions(argparse.Action):
    """Collects KEY=VALUE words in a dict; a value is TOML, or else text."""

    def __call__(self, parser, namespace, word, option_string=None) -> None:
        """Add one word."""
        key, equals, text = word.partition("=")
        if not (key and equals and text):
            raise argparse.ArgumentError(self, f"must be KEY=VALUE, got {word!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        options = getattr(namespace, self.dest, None) or {}
        setattr(namespace, self.dest, options | {key.replace("-", "_"): value})


class _CollectWords(argparse.Action):
    """Collects the words of a flag that is repeated in a tuple."""

    def __call__(self, parser, namespace, word, option_string=None) -> None:
        """Add one word."""
        words = getattr(namespace, self.dest, None) or ()
        setattr(namespace, self.dest, (*words, word))


def parse_flags(words: list[str]) -> argparse.Namespace:
    """Return what a command line gives; options that it leaves out are absent."""
    return _make_parser().parse(words)


def _make_parser() -> CommandParser:
    parser = CommandParser(
        "truesparse.train",
        "Train a truly sparse multilayer perceptron on CPUs.",
        codes=(2, 3, 4, 5, 6, 7),
    )
    add_flags(parser)
    parser.add_argument(
        "--config",
        metavar="FILE.toml",
        help="read options from a file; flags override them",
    )
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="resume the run in DIR from its last checkpoint; only "
        f"{resume.CHANGEABLE_FLAGS} may change",
    )
    parser.add_argument(
        "--list-topologies",
        action="store_true",
        help="print the topologies and their options, and stop",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check the options, estimate the memory, print it as JSON, and stop",
    )
    parser.add_no_verify()
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="print only errors and warnings to stderr",
    )
    return parser


def _parser_of(kind: type) -> Callable[[str], Any]:
    """Return a function that parses a word; its error says what is accepted."""

    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            message = f"must be {KINDS[kind]}, got {text!r}"
            raise argparse.ArgumentTypeError(message) from None

    return parse


def parse_numbers(text: str) -> tuple[int, ...]:
    """Return whole numbers that commas separate."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be whole numbers separated by commas, got {text!r}"
        ) from None


_PARSERS: dict[Any, Callable[[str], Any]] = {
    int: _parser_of(int),
    float: _parser_of(float),
    str: str,
    tuple[int, ...]: parse_numbers,
}
