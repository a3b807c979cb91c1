"""Tables of comma-separated numbers, the text layout of Human3.6M and CMU mocap."""
import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import numpy as np

from utils.common.errors import InputError, reading

FARTHEST = 1e6  # of the root in the first three columns: 1 km in mm, the smallest unit in use
MAX_LINES = 200_000  # of a file; the longest recording in the field has about 10,000
MAX_LINE = 16_384  # characters; a row of the datasets has about 1,200
MAX_TEXT = 256 * 2**20  # characters of a file, unpacked
LARGEST_TURN = 100.0  # of the other columns, radians: any turn can be said in one of pi, but turns unwrapped over time add up


def open_text(path: Path) -> TextIO:
    """Opens a text file, unpacked on the way if its name ends in .gz; a byte order mark is skipped."""
    opener = gzip.open if path.suffix == '.gz' else open
    return cast(TextIO, opener(path, 'rt', encoding='utf-8-sig'))


def bounded_lines(file: TextIO) -> Iterator[str]:
    """Yields the lines of a text file. ValueError at the one that is more than a recording has."""
    total = 0
    for number in itertools.count(1):
        line = file.readline(MAX_LINE + 1)
        total += len(line)
        if not line:
            return
        if number > MAX_LINES or len(line) > MAX_LINE or total > MAX_TEXT:
            raise ValueError(f'line {number}: is more than {MAX_LINES} lines, {MAX_LINE} characters in one, or '
                             f'{MAX_TEXT // 2**20} MiB in all: no recording is so long')
        yield line


def read_numbers(path: Path, columns: int) -> np.ndarray:
    """Reads (rows, columns) float64 from a text file (gzip if it ends in .gz), without blank lines.

    The first three columns are the root's position, the others are exponential maps.
    InputError names file and line where a row has another number of columns, where a value is not a finite number or one
    that nobody can have recorded, or where the file is longer than any recording.
    """
    try:
        with reading(path), open_text(path) as file:
            lines = (line for line in bounded_lines(file) if not line.isspace())
            first = next(lines, '')
            table = np.loadtxt(itertools.chain([first], lines), delimiter=',', comments=None, ndmin=2) if first else None
    except InputError:
        raise
    except (ValueError, EOFError, zlib.error) as error:
        raise _explain(path, columns, error) from None
    if table is None:
        raise InputError(f'{path}: is empty; expected rows of {columns} numbers')
    if table.shape[1] != columns or not (np.abs(table[:, :3]).max() <= FARTHEST and np.abs(table[:, 3:]).max() <= LARGEST_TURN):
        raise _explain(path, columns, ValueError('holds a number that cannot be meant'))
    return table


def _explain(path: Path, columns: int, error: Exception) -> InputError:
    """Reads the file again, slowly, to find the line that is wrong."""
    try:
        with open_text(path) as file:
            for number, line in enumerate(bounded_lines(file), start=1):
                if problem := _problem(line, columns):
                    return InputError(f'{path}: line {number}: {problem}; mend the line or fetch the file again')
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return InputError(f'{path}: is not a text file of comma-separated numbers')
    except ValueError as too_much:
        return InputError(f'{path}: {too_much}')
    return InputError(f'{path}: {error}')


def _problem(line: str, columns: int) -> str | None:
    """Says what is wrong with one line of text, if anything."""
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
            return f'column {column}: {text} is too large for a {"position" if column <= 3 else "turn in radians"}'
    return None
