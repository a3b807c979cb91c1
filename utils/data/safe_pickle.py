"""Reads pickles from strangers: numbers, strings, plain containers and numpy arrays.

A pickle names functions, which unpickling imports and calls.
Here a name must stand whole in a short list, and it means code of this file.
Nothing that a pickle names is called.
numpy's own unpickling, which trusts its input, never runs.
"""
import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from utils.common.errors import InputError, check_not_pointer, reading
from utils.common.files import read_regular
from utils.common.untrusted import check_pickle

# (module, name) of each admitted numpy object -> what it is.
KINDS = {('numpy', 'ndarray'): 'class', ('numpy', 'dtype'): 'dtype',
         ('numpy._core.multiarray', '_reconstruct'): 'array',
         ('numpy._core.numeric', '_frombuffer'): 'buffer',
         ('numpy._core.multiarray', 'scalar'): 'scalar'}


class Stored:
    """Keeps what a pickle says of a numpy dtype, array or scalar, unread until `as_array`."""

    def __init__(self, kind: str, *arguments: Any):
        self.kind, self.arguments, self.state = kind, arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Refused(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Returns the stand-in for an admitted name. Raises _Refused for any other.

        It is made anew each time, so that a pickle that alters it harms only itself.
        """
        modern = module.replace('numpy.core', 'numpy._core').replace('__builtin__', 'builtins')
        if kind := KINDS.get((modern, name)):
            return lambda *arguments: Stored(kind, *arguments)
        if (modern, name) in {('_codecs', 'encode'), ('builtins', 'bytes')}:  # how protocol 2 writes bytes
            return lambda text='', encoding='latin1': str.encode(text, {'latin1': 'latin1'}[encoding])
        if modern == 'builtins' and name in {'set', 'frozenset'}:
            return set if name == 'set' else frozenset
        raise _Refused(f'{module}.{name}')


def load_pickle(path: Path) -> Any:
    """Returns the content of a pickle of Python 2 or 3. Each numpy object in it is a `Stored`.

    Raises InputError where the file names anything but numpy arrays and plain containers, or is damaged.
    """
    with reading(path):
        raw = read_regular(path)
    check_not_pointer(path, raw)
    try:
        check_pickle(raw)
        return _Unpickler(io.BytesIO(raw), encoding='latin1').load()
    except _Refused as refused:
        raise InputError(f'{path}: refused: this pickle loads {str(refused)[:80]!r}, and only numpy arrays '
                         'and plain containers are admitted') from None
    except Exception as error:  # a damaged pickle may raise any
        raise InputError(f'{path}: is not a readable pickle, damaged or cut short '
                         f'({type(error).__name__})') from None


def as_array(stored: Any) -> np.ndarray:
    """Returns the numpy array that a pickle holds. Raises ValueError where it is none."""
    try:
        if stored.kind == 'array':
            _, shape, dtype, by_columns, raw = stored.state
        elif stored.kind == 'buffer':
            raw, dtype, shape, order = stored.arguments
            by_columns = order == 'F'
        else:
            raise ValueError(f'a numpy {stored.kind}, not an array')
        code = dtype.state[1] + dtype.arguments[0]
        if not re.fullmatch('[<>|=][biuf][1248]', code):
            raise ValueError(f'an array of type {code[:20]!r}, not of numbers')
        raw = raw.encode('latin1') if isinstance(raw, str) else raw
        return np.frombuffer(raw, np.dtype(code)).reshape(shape, order='F' if by_columns else 'C')
    except (AttributeError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f'not a numpy array ({error})') from None
