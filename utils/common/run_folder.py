"""A run's folder: where it lies, its lock, and its start."""
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils.common import distributed
from utils.common.checkpoint import LAST
from utils.common.environment import PROJECT, environment
from utils.common.errors import InputError
from utils.common.files import remove_leftovers, write_text

log = logging.getLogger('ksof')
RUNS = PROJECT / 'checkpoint'
LOCK = 'run.lock'


def lock_run(folder: Path) -> FileLock:
    """Makes the run folder and holds it until this process ends.

    InputError if another live run holds it, or if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
        remove_leftovers(folder)
    except Timeout:
        raise InputError(f'{folder}: is in use by another run; wait for it, or give this one another --exp') from None
    except OSError as error:
        raise InputError(f'{folder}: the run folder cannot be written: {error.strerror}') from None
    return lock


def start_run(folder: Path, settings: Mapping[str, Any]) -> FileLock:
    """Locks the run folder and writes options.json into it; an earlier run there is moved aside."""
    lock = lock_run(folder)
    if (folder / LAST).exists():
        number = next(n for n in range(1, 10**6) if not folder.with_name(f'{folder.name}.{n}').exists())
        kept = folder.rename(folder.with_name(f'{folder.name}.{number}'))
        log.warning('%s held an earlier run, now moved to %s (add --is_load to go on with a run instead)', folder, kept)
        lock.release()
        lock = lock_run(folder)
    made = {'options': dict(settings), **environment(), 'processes': distributed.processes()}
    write_text(folder / 'options.json', json.dumps(made, indent=2) + '\n')
    return lock
