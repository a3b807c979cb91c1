"""What all commands share: a parser whose mistakes are one line, --version, and exit codes."""
import argparse
import difflib
import errno
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import torch

from utils.common import distributed
from utils.common.environment import environment
from utils.common.errors import DivergedError, InputError, Stopped

log = logging.getLogger('ksof')
# A file could not be written although its place can be used. 0: a checkpoint that says so itself.
EXHAUSTED = (0, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


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
    """Says what is wrong with the command line as an InputError, and which option an unknown one may be meant for.

    other_names: options by what other projects call them.
    """

    other_names: Mapping[str, str] = {}

    def error(self, message: str) -> NoReturn:
        hints = []
        if message.startswith('unrecognized arguments: '):
            for word in message.split()[2:]:
                name = word.split('=')[0].replace('-', '_').replace('__', '--', 1)
                if word.startswith('--') and (meant := self.meant(name)):
                    hints.append(meant)
        hint = f'did you mean {", ".join(hints)}? ' if hints else ''
        raise InputError(f'{message} ({hint}see --help)')

    def meant(self, name: str) -> str | None:
        """Returns the option that an unknown name is like, if any."""
        close = difflib.get_close_matches(name, self._option_string_actions, 1, 0.75)
        return self.other_names.get(name) or (close[0] if close else None)


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


def log_to_terminal() -> None:
    """Sends messages to stderr as they are; tables alone go to stdout."""
    log.handlers = [logging.StreamHandler(sys.stderr)]
    log.setLevel(logging.ERROR if distributed.rank() else logging.INFO)
    log.propagate = False


def run_tool(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Does a tool's work and returns its exit code."""
    return exit_code(lambda: main(argv))


def exit_code(work: Callable[[], object], *, out_of_memory: str = 'not enough memory',
              interrupted: str = 'stopped') -> int:
    """Does a command's work and returns its exit code. What goes wrong is one line on stderr.

    0: done. 2: something given cannot be used. 1: the work cannot be finished: a diverged loss, no memory, a full disk.
    128 + N: stopped by signal N, which is 130 for Ctrl-C and 143 for SIGTERM.
    """
    try:
        work()
    except InputError as error:
        distributed.say(f'error: {error}')
        return 2
    except DivergedError as error:
        distributed.say(f'error: {error}')
        return 1
    except (MemoryError, torch.OutOfMemoryError):
        distributed.say(f'error: {out_of_memory}')
        return 1
    except OSError as error:
        where = f'{error.filename}: ' if error.filename else ''
        distributed.say(f'error: {where}{error.strerror or error}')
        return 1 if error.errno in EXHAUSTED else 2
    except Stopped as stopped:
        distributed.say(f'{stopped}; the same command with --is_load goes on')
        return 128 + stopped.number
    except KeyboardInterrupt:
        distributed.say(f'\n{interrupted}')
        return 130
    except RuntimeError as error:
        if not distributed.is_lost(error):
            raise
        distributed.say('error: another process of this run has ended: see what it, or torchrun, says of it')
        return 1
    return 0
