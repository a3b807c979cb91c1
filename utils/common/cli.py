"""What all commands share: a parser whose mistakes are one line, --version, and exit codes."""
import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from utils.common.checkpoint import environment
from utils.common.errors import InputError


def at_least(least: float, kind: type = int, *, most: float = 10**6, below: float = math.inf) -> Any:
    """Makes an argparse type: a finite number of a kind, from `least` up.

    most: the largest, of whole numbers a million unless given; of others only where given.
    below: a bound that is itself too large.
    """
    if kind is float and most == 10**6:
        most = math.inf

    def parse(text: str) -> float:
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f'{text} is below {least}')
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f'{text} is not finite')
        if value > most:
            raise argparse.ArgumentTypeError(f'{text} is above {most}')
        if value >= below:
            raise argparse.ArgumentTypeError(f'{text}: must be below {below}')
        return value

    parse.__name__ = 'whole number' if kind is int else 'number'
    return parse


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the command line as an InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f'{message} (see --help)')


class Version(argparse.Action):
    """--version: the git revision and the versions behind a result, asked for only when wanted."""

    def __init__(self, option_strings: list[str], dest: str):
        super().__init__(option_strings, dest, nargs=0, help='show git revision and versions and stop')

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(', '.join(f'{name} {value}' for name, value in environment().items()))
        parser.exit()


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one to speak of."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is False or action.default in (None, []) else super()._get_help_string(action)


def tool_parser(description: str) -> Parser:
    """A parser with defaults in its help and --version; what it cannot read is an InputError."""
    parser = Parser(description=description, allow_abbrev=False, formatter_class=Help)
    parser.add_argument('--version', action=Version)
    return parser


def run_tool(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Do a tool's work and return its exit code: 0, 2 with one line for input that cannot be used, 130 for Ctrl-C."""
    try:
        main(argv)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        where = f'{error.filename}: ' if error.filename else ''
        print(f'error: {where}{error.strerror or error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nstopped', file=sys.stderr)
        return 130
    return 0
