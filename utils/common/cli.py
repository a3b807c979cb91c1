"""What all commands share: a parser whose mistakes are one line, --version, and exit codes."""
import argparse
import difflib
import errno
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from utils.common import output
from utils.common.errors import DivergedError, InputError, Stopped, bearable

# A file could not be written although its place can be used. 0: a checkpoint that says so itself.
EXHAUSTED = (0, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# What torch says of memory in an error that is only a RuntimeError.
OUT_OF_MEMORY = ('DefaultCPUAllocator', "can't allocate memory", 'bad_alloc', 'out of memory')


def at_least(least: float, kind: type = int, *, most: float = 10**6, below: float = math.inf) -> Any:
    """Makes an argparse type: a finite number of a kind, from `least` up.

    most: the largest, of whole numbers a million unless given; of others only where given.
    below: a bound that is itself too large.
    """
    if kind is float and most == 10**6:
        most = math.inf

    def parse(text: str) -> float:
        # Python's own 1_000 is no number to anybody else; other scripts' digits are none in a file either.
        value = kind(text.replace('_', ' _') if text.isascii() else '')
        if value < least:
            raise argparse.ArgumentTypeError(f'{text} is below {least}')
        if kind is float and not math.isfinite(value):  # a whole number may be too large for the question
            raise argparse.ArgumentTypeError(f'{text} is not finite')
        if value > most:
            raise argparse.ArgumentTypeError(f'{text} is above {most}')
        if value >= below:
            raise argparse.ArgumentTypeError(f'{text}: must be below {below}')
        return value

    parse.__name__ = 'whole number' if kind is int else 'number'
    return parse


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the command line as an InputError.

    For an unknown option it names the one that may be meant.

    other_names: options by what other projects call them.
    """

    other_names: Mapping[str, str] = {}

    def format_help(self) -> str:
        """Returns the help, below one line of usage: what must be given, and that there are options."""
        self.usage = ' '.join(' '.join(['%(prog)s', *map(self.word, self._actions), '[options]']).split())
        return super().format_help()

    def word(self, action: argparse.Action) -> str:
        """Returns how an argument that must be given is written; nothing for options."""
        name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        if not action.option_strings:
            return {'+': f'{name} [{name} ...]', '*': f'[{name} ...]', '?': f'[{name}]'}.get(
                str(action.nargs), name)
        return f'{action.option_strings[0]} {name}' if action.required else ''

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
        from utils.common.environment import environment

        print(', '.join(f'{name} {value}' for name, value in environment().items()))
        parser.exit()


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one to speak of, and leaves examples as they are."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        bare = action.default is False or action.default in (None, [])
        return action.help if bare else super()._get_help_string(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith('examples:') else super()._fill_text(text, width, indent)


def tool_parser(description: str, examples: str = '') -> Parser:
    """Makes a parser with defaults in its help and --version; what it cannot read is an InputError.

    examples: command lines, indented, that its help ends with.
    """
    parser = Parser(description=description, epilog=f'examples:\n{examples}' if examples else None,
                    allow_abbrev=False, formatter_class=Help)
    parser.add_argument('--version', action=Version)
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds RUN, the trained network that a tool works on."""
    parser.add_argument('run', metavar='RUN', type=Path,
                        help='run folder, its name under checkpoint/, or a checkpoint file; of a folder the '
                             'best epoch is taken')


def log_to_terminal() -> None:
    """Sends messages to stderr as they are, from rank 0; tables alone go to stdout."""
    from utils.common import distributed

    output.log_to_terminal(quiet=distributed.rank() > 0)


def run_tool(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Does a tool's work and returns its exit code."""
    return exit_code(lambda: main(argv))


def exit_code(work: Callable[[], object], *, out_of_memory: str = 'not enough memory',
              interrupted: str = 'stopped') -> int:
    """Does a command's work and returns its exit code. What goes wrong is one line on stderr.

    0: done. 2: something given cannot be used. 1: the work cannot be finished: a diverged loss, no memory, a
    full disk.
    128 + N: stopped by signal N: 130 for Ctrl-C, 143 for SIGTERM, 141 where nobody reads its output any more.
    """
    with output.steady_output() as out, ending_by_signal():
        try:
            work()
            code = 0
        except (Exception, KeyboardInterrupt, Ended) as error:
            code, line = verdict(error, out_of_memory, interrupted)
            say(line)
        finally:
            output.end_logs()
        out.flush()
        if code == 0 and out.lost:
            if out.lost.errno == errno.EPIPE:
                return 128 + signal.SIGPIPE
            say(f'error: what was to be shown could not be written: {out.lost.strerror}')
            return 1
        return code


def verdict(error: BaseException, out_of_memory: str, interrupted: str) -> tuple[int, str]:
    """Returns the exit code and the line of what ended a command. Raises what nobody has thought of."""
    match error:
        case InputError():
            return 2, f'error: {error}'
        case DivergedError():
            return 1, f'error: {error}'
        case Stopped():
            return 128 + error.number, f'{error}; the same command with --is_load goes on'
        case Ended():
            return 128 + error.number, f'{signal.Signals(error.number).name}: {interrupted}'
        case KeyboardInterrupt():
            return 130, f'\n{interrupted}'
        case MemoryError():
            return 1, f'error: {out_of_memory}'
        case OSError():
            where = f'{error.filename}: ' if error.filename else ''
            return 1 if error.errno in EXHAUSTED else 2, f'error: {where}{error.strerror or error}'
        case RuntimeError() if is_out_of_memory(error):
            return 1, f'error: {out_of_memory}'
        case RuntimeError() if is_lost(error):
            return 1, 'error: another process of this run has ended: see what it, or torchrun, says of it'
    raise error


def is_out_of_memory(error: Exception) -> bool:
    """Tells whether Python or torch has run out of memory.

    torch has a type for that on CUDA; elsewhere the message says so.
    """
    return (isinstance(error, MemoryError) or type(error).__name__ == 'OutOfMemoryError'
            or any(sign in str(error) for sign in OUT_OF_MEMORY))


def is_launched() -> bool:
    """Tells whether torchrun has started this process, without loading torch."""
    return 'TORCHELASTIC_RUN_ID' in os.environ


def is_lost(error: RuntimeError) -> bool:
    """Tells whether an error means that another process has ended."""
    from utils.common import distributed

    return distributed.is_lost(error)


def say(line: str) -> None:
    """Prints a line on stderr, once where several processes say it, and keeps it in the run's log."""
    line = bearable(line)
    if 'utils.common.distributed' in sys.modules:
        from utils.common import distributed

        distributed.say(line)
    else:  # before torch is loaded
        print(line, file=sys.stderr)
    for run_log in output.run_logs():
        run_log.add(line.strip())


class Ended(BaseException):
    """A signal came that ends a command where it stands. `number` is the signal's."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@contextmanager
def ending_by_signal() -> Iterator[None]:
    """Raises Ended in the block where SIGTERM, SIGHUP or SIGUSR1 would end Python without a word.

    What is unfinished is cleaned up so. Training remembers signals instead, while it trains. Under torchrun,
    which ends all processes where one has failed, they end as they would without this.
    """
    def end(number: int, _: FrameType | None) -> NoReturn:
        raise Ended(number)

    taken: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread() and not is_launched():
        taken = [number for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
                 if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
