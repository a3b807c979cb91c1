"""Tables of comma-separated numbers, the text layout of Human3.6M and CMU mocap."""
import gzip
import itertools
import zlib
from pathlib import Path
from typing import TextIO, cast

import numpy as np

from utils.errors import InputError


def open_text(path: Path) -> TextIO:
    """A text file to read, unpacked on the way if its name ends in .gz; a byte order mark is skipped."""
    opener = gzip.open if path.suffix == '.gz' else open
    return cast(TextIO, opener(path, 'rt', encoding='utf-8-sig'))


def read_numbers(path: Path, columns: int) -> np.ndarray:
    """(rows, columns) float64 from a text file (gzip if it ends in .gz); blank lines are skipped.

    InputError names file and line where a row has another number of columns, or a value is not a finite number.
    """
    try:
        with open_text(path) as file:
            lines = (line for line in file if not line.isspace())
            first = next(lines, '')
            table = np.loadtxt(itertools.chain([first], lines), delimiter=',', comments=None, ndmin=2) if first else None
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror or error}') from None
    except (ValueError, EOFError, zlib.error) as error:
        raise _explain(path, columns, error) from None
    if table is None:
        raise InputError(f'{path}: is empty; expected rows of {columns} numbers')
    if table.shape[1] != columns or not np.isfinite(table).all():
        raise _explain(path, columns, ValueError('not finite'))
    return table


def _explain(path: Path, columns: int, error: Exception) -> InputError:
    """Reads the file again, slowly, to find the line that is wrong."""
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                if problem := _problem(line, columns):
                    return InputError(f'{path}: line {number}: {problem}')
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return InputError(f'{path}: is not a text file of comma-separated numbers')
    return InputError(f'{path}: {error}')


def _problem(line: str, columns: int) -> str | None:
    """What is wrong with one line of text, if anything."""
    fields = line.strip().split(',')
    if fields == ['']:
        return None
    if len(fields) != columns:
        return f'{len(fields)} columns, expected {columns}'
    for field in fields:
        try:
            if not np.isfinite(float(field)):
                return f'{field.strip()} is not a finite number'
        except ValueError:
            return f'{field.strip()[:40]!r} is not a number'
    return None
