"""matplotlib for pictures that look the same on every machine. matplotlib is optional: it is imported when needed."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def import_matplotlib() -> ModuleType:
    """Imports matplotlib whatever MPLBACKEND names: these pictures need no window, and a wrong name stops the import.

    Raises ImportError where matplotlib is not installed.
    """
    backend = os.environ.pop('MPLBACKEND', None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ['MPLBACKEND'] = backend
    return matplotlib


@contextmanager
def plain_drawing() -> Iterator[None]:
    """Draws with matplotlib's own defaults, not with those of the user's matplotlibrc, and with text as it is.

    Figures are made and written inside the block. `$` in a file's or a run's name is a dollar sign, not the start of a
    formula, and text.usetex, which needs LaTeX, is off. Serves as a decorator too.
    """
    matplotlib = import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({'text.parse_math': False, 'text.usetex': False})
        yield
