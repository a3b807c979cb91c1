"""What a command says: output whose loss ends nothing, and train.log, which keeps it in the run's folder."""
import io
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from utils.common.errors import printable

log = logging.getLogger('ksof')
TRAIN_LOG = 'train.log'


class Steady:
    """A text stream that goes on when nobody reads it any more.

    For a pipe whose reader has ended, and a closed terminal.

    escaped: whether what would move a terminal's cursor is escaped, as it can come from a file.
    lost: the first error of writing, if any.
    """

    def __init__(self, stream: Any, *, escaped: bool = False):
        self.stream, self.escaped, self.lost = stream, escaped, cast(OSError | None, None)

    def write(self, text: str) -> int:
        """Writes what can be written."""
        try:
            return self.stream.write(printable(text) if self.escaped else text)
        except (OSError, ValueError, RuntimeError) as error:  # gone; closed; a signal came while it wrote
            self.give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        try:
            self.stream.flush()
        except (OSError, ValueError, RuntimeError) as error:
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Sends all that follows to nowhere where the stream is gone.

        Also what libraries write, and what is written at Python's end.
        """
        if isinstance(error, OSError) and not isinstance(error, BlockingIOError | io.UnsupportedOperation):
            self.lost = self.lost or error
            with suppress(OSError, ValueError), Path(os.devnull).open('wb') as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def open_closed() -> None:
    """Opens the null device in place of stdin, stdout and stderr that a program was started without (2>&-).

    Else the next file that is opened, a checkpoint say, would get the number that libraries write to.
    """
    for name, mode in (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w')):  # numbers 0, 1, 2
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: that of this stream
            setattr(sys, name, os.fdopen(nowhere, mode, encoding='utf-8', closefd=False))


@contextmanager
def steady_output() -> Iterator[Steady]:
    """Makes stdout and stderr steady for the block; what their encoding cannot write is escaped.

    Yields stdout.
    """
    open_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
    out = Steady(sys.stdout, escaped=True)
    with redirect_stdout(cast(Any, out)), redirect_stderr(cast(Any, Steady(sys.stderr))):
        try:
            yield out
        finally:
            out.flush()
            sys.stderr.flush()


class Escaping(logging.Formatter):
    """Escapes what would move a terminal's cursor, as names of files are part of messages."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class RunLog(logging.Handler):
    """Keeps what a command says until it is told where: from then on it is appended to a run's train.log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.path: Path | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.add(self.format(record))

    def add(self, line: str) -> None:
        """Adds a line. One that cannot be written is left out: the log is not worth a run."""
        self.lines.append(line)
        if self.path:
            # Whatever lies there by that name, a link or a FIFO is neither followed nor waited for.
            how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW
            with suppress(OSError), open(self.path, 'a', encoding='utf-8', errors='backslashreplace',
                                         opener=lambda name, _: os.open(name, how, 0o666)) as file:
                file.writelines(f'{line}\n' for line in self.lines)
            self.lines.clear()

    def open(self, folder: Path) -> None:
        """Writes what has been said, below the time and the command, and whatever follows."""
        self.path = folder / TRAIN_LOG
        self.lines.insert(0, f'# {datetime.now():%Y-%m-%d %H:%M:%S} {shlex.join(sys.argv)}')
        self.add(self.lines.pop())


def run_logs() -> list[RunLog]:
    """Returns the logs that this command keeps: one in a main, none in a tool."""
    return [handler for handler in log.handlers if isinstance(handler, RunLog)]


def end_logs() -> None:
    """Ends the logs that this command keeps: what a series says after one of its runs is not that run's."""
    log.handlers = [handler for handler in log.handlers if not isinstance(handler, RunLog)]


def log_to(folder: Path) -> None:
    """Keeps what a main says, from its start, in the run's train.log."""
    for run_log in run_logs():
        run_log.open(folder)


def log_to_terminal(*, quiet: bool = False) -> None:
    """Sends messages to stderr as they are; tables alone go to stdout.

    quiet: sends errors alone.
    """
    log.handlers = [logging.StreamHandler(sys.stderr), RunLog()]
    for handler in log.handlers:
        handler.setFormatter(Escaping())
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    log.propagate = False
