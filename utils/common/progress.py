"""How far a command is and how long is left: a bar where stderr is a terminal, else whole lines."""
import logging
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from tqdm import tqdm

log = logging.getLogger('ksof')
LINE_EVERY = 60.0  # seconds from one line to the next where there is no bar


def hidden(*, quiet: bool = False) -> bool | None:
    """Returns what tqdm takes as `disable`: True hides a bar, None hides it where stderr is no terminal.

    quiet: hides it everywhere. So does TQDM_DISABLE=1.
    """
    return True if quiet or os.environ.get('TQDM_DISABLE', '0') not in ('', '0') else None


class Progress(tqdm):
    """tqdm's bar over files, batches or windows.

    Where it is hidden a line a minute says how far the items are.
    """

    def __init__(self, items: Any = None, *, desc: str, unit: str, quiet: bool = False, **how: Any):
        """desc, unit: what is done, and of what the items are.

        quiet: neither bar nor lines.
        how: more of tqdm's own arguments.
        """
        super().__init__(items, desc=desc, unit=unit, leave=False, dynamic_ncols=True,
                         disable=hidden(quiet=quiet), **how)
        self.what, self.items_are, self.quiet = desc, unit.strip(), quiet

    def __iter__(self) -> Iterator[Any]:
        if not self.disable or self.quiet:
            yield from super().__iter__()
            return
        said = time.monotonic()
        for done, item in enumerate(self.iterable):
            if time.monotonic() - said >= LINE_EVERY:
                log.info('%s: %d of %s %s', self.what, done, self.total or '?', self.items_are)
                said = time.monotonic()
            yield item


def duration(seconds: float) -> str:
    """Returns a time in its largest fitting unit: 45 s, 12 min, 7.2 h, 3.1 d."""
    for unit, length, below in (('s', 1, 99.5), ('min', 60, 99.5 * 60), ('h', 3600, 48 * 3600)):
        if seconds < below:
            return f'{seconds / length:.1f} h' if unit == 'h' else f'{seconds / length:.0f} {unit}'
    return f'{seconds / 86400:.1f} d'


def done_in(seconds: float, now: datetime | None = None) -> str:
    """Returns how long something takes yet and when it will be done: 'done in 7.2 h, 10:14'.

    now: instead of this moment.
    """
    now = now or datetime.now()
    end = now + timedelta(seconds=seconds)
    form = '%H:%M' if seconds < 86400 else '%a %H:%M' if seconds < 6 * 86400 else '%d %b'
    return f'done in {duration(seconds)}, {end:{form}}'
