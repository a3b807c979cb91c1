"""Exceptions whose text is meant for the person at the terminal."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_LINE = 2000  # characters of an error


class InputError(ValueError):
    """Something given to the program cannot be used. The message is one line: what, where, what to do."""

    def __str__(self) -> str:
        # Names and contents of files may be part of it.
        return printable(super().__str__(), kept='')


def printable(text: str, *, kept: str = '\n\t') -> str:
    """Escapes what would move a terminal's cursor or break the line, but for `kept`."""
    return ''.join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def bearable(line: str) -> str:
    """Returns a line as `printable` does, with its middle left out where no terminal bears it."""
    line = printable(line)
    return line if len(line) < LONGEST_LINE else f'{line[:LONGEST_LINE - 300]} ... {line[-250:]}'


LFS_POINTER = b'version https://git-lfs'  # how the text begins that Git keeps in place of a large file


def check_not_pointer(path: Path, start: bytes) -> None:
    """Raises InputError if a file that begins with these bytes is a Git LFS pointer, not the file itself."""
    if start.startswith(LFS_POINTER):
        raise InputError(f'{path}: is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`')


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Makes an OSError in the block an InputError that names its file, or `path` where it names none."""
    try:
        yield
    except OSError as error:
        raise InputError(f'{error.filename or path}: cannot be read: {error.strerror or error}') from None


class DivergedError(RuntimeError):
    """Training produced a loss that is not finite. The message is one line with the loss terms."""


class Stopped(Exception):
    """Training was stopped by a signal after saving. `number` is the signal's."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.number = number
