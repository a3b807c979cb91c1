"""Reads tables of comma-separated numbers, the text layout of Human3.6M and CMU mocap."""
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import numpy as np

from utils.common.errors import InputError, check_not_pointer, reading
from utils.common.files import open_regular

FARTHEST = 1e6  # limit of the root's position, columns 1 to 3: 1 km in mm, the smallest unit in use
MAX_LINES = 200_000  # of a file; the longest recording in the field has about 10,000
MAX_LINE = 16_384  # characters; a row of the datasets has about 1,200
MAX_TEXT = 256 * 2**20  # characters of a file, unpacked
# Limit of the other columns, in radians. Pi says any rotation, but angles unwrapped over time add up.
LARGEST_TURN = 100.0


class Packed:
    """Bytes that gzip reads, with an end to what it reads one by one: the names in a header, and zeros."""

    def __init__(self, file: BinaryIO):
        self.file, self.single = file, 0

    def read(self, size: int) -> bytes:
        """Reads so many bytes. Raises EOFError after MAX_LINE single ones."""
        self.single = self.single + 1 if size == 1 else 0
        if self.single > MAX_LINE:
            raise EOFError
        return self.file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Opens a text file, unpacked on the way if its name ends in .gz. A byte order mark is skipped."""
    with open_regular(path) as raw:
        unpacked = gzip.GzipFile(fileobj=Packed(raw)) if path.suffix == '.gz' else raw
        with io.TextIOWrapper(cast(BinaryIO, unpacked), encoding='utf-8-sig') as text:
            yield text


def bounded_lines(file: TextIO) -> Iterator[str]:
    """Yields the lines of a text file. Raises ValueError at a line beyond what any recording has."""
    total = 0
    for number in itertools.count(1):
        line = file.readline(MAX_LINE + 1)
        total += len(line)
        if not line:
            return
        if number > MAX_LINES or len(line) > MAX_LINE or total > MAX_TEXT:
            raise ValueError(f'line {number}: is more than {MAX_LINES} lines, {MAX_LINE} characters in one, '
                             f'or {MAX_TEXT // 2**20} MiB in all: no recording is so long')
        yield line


def read_numbers(path: Path, columns: int) -> np.ndarray:
    """Reads (rows, columns) float64 from a text file, packed by gzip if its name ends in .gz.

    The first three columns are the root's position, the others are exponential maps in radians.
    Blank lines are left out.
    Raises InputError, naming file and line, in these cases:
    - A row has another number of columns.
    - A value is not a finite number, or is one that nobody can have recorded.
    - The file is longer than any recording.
    """
    try:
        with reading(path), open_text(path) as file:
            lines = (line for line in bounded_lines(file) if not line.isspace())
            first = next(lines, '')
            table = None  # of an empty file
            if first:
                table = np.loadtxt(itertools.chain([first], lines), delimiter=',', comments=None, ndmin=2)
    except InputError:
        raise
    except (ValueError, EOFError, zlib.error) as error:
        raise _explain(path, columns, error) from None
    if table is None:
        raise InputError(f'{path}: is empty; expected rows of {columns} numbers')
    # Written with `not` and `<=`, so that NaN is refused too.
    if table.shape[1] != columns or not (np.abs(table[:, :3]).max() <= FARTHEST
                                         and np.abs(table[:, 3:]).max() <= LARGEST_TURN):
        raise _explain(path, columns, ValueError('holds a number that cannot be meant'))
    return table


def _explain(path: Path, columns: int, error: Exception) -> InputError:
    """Reads the file again, slowly, to find the line that is wrong."""
    try:
        with open_text(path) as file:
            check_not_pointer(path, file.readline(MAX_LINE).encode())
            file.seek(0)
            for number, line in enumerate(bounded_lines(file), start=1):
                if problem := _problem(line, columns):
                    return InputError(f'{path}: line {number}: {problem}; mend the line or fetch the file '
                                      'again')
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return InputError(f'{path}: is not a text file of comma-separated numbers')
    except ValueError as too_much:
        return InputError(f'{path}: {too_much}')
    return InputError(f'{path}: {error}')


def _problem(line: str, columns: int) -> str | None:
    """Returns what is wrong with one line of text, or None."""
    fields = line.strip().split(',')
    if fields == ['']:
        return None
    if len(fields) != columns:
        return f'{len(fields)} columns, expected {columns}'
    for column, field in enumerate(fields, start=1):
        text = field.strip()[:40]
        try:
            size = abs(float(field if field.isascii() and '_' not in field else ''))
        except ValueError:
            return f'{text!r} is not a number'
        if not size < np.inf:
            return f'{text} is not a finite number'
        if size > (FARTHEST if column <= 3 else LARGEST_TURN):
            kind = 'position' if column <= 3 else 'turn in radians'
            return f'column {column}: {text} is too large for a {kind}'
    return None
