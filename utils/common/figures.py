"""Sets up matplotlib so that pictures look the same on every machine.

matplotlib is optional, so it is imported where it is needed.
"""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

MISSING = 'matplotlib is not installed or does not start'


def import_matplotlib() -> ModuleType:
    """Imports matplotlib without the backend that MPLBACKEND names.

    The pictures need no window, and a wrong name there would stop the import.
    Raises ImportError where matplotlib is not installed, or whatever else stops its import.
    """
    backend = os.environ.pop('MPLBACKEND', None)
    try:
        import matplotlib
    except ImportError:
        raise
    except (Exception, SystemExit) as error:
        raise ImportError(f'matplotlib: {type(error).__name__}: {error}') from None
    finally:
        if backend is not None:
            os.environ['MPLBACKEND'] = backend
    return matplotlib


@contextmanager
def plain_drawing() -> Iterator[None]:
    """Draws with matplotlib's own defaults instead of the user's matplotlibrc, and with text as it is.

    Figures are made and written inside the block.
    `$` in the name of a file or run is a dollar sign, not the start of a formula.
    text.usetex, which needs LaTeX, is off.
    The function serves as a decorator too.
    """
    matplotlib = import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({'text.parse_math': False, 'text.usetex': False})
        yield
