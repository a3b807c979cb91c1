"""A run's folder: its name, how it is found, whose it is, its locks, its start, what it writes down."""
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from utils.common import distributed
from utils.common.checkpoint import BEST, LAST, PREVIOUS
from utils.common.environment import PROJECT, environment
from utils.common.errors import InputError, reading
from utils.common.files import read_json, remove_leftovers, write_text

log = logging.getLogger('ksof')
RUNS = PROJECT / 'checkpoint'
LOCK, TABLES_LOCK = 'run.lock', 'tables.lock'
ABOUT, RESULTS = 'options.json', 'results.json'
# A folder with any of them holds a run.
SIGNS = (LAST, BEST, PREVIOUS, ABOUT, RESULTS, 'results.md', 'history.csv')


def holds_run(folder: Path) -> bool:
    """Tells whether a folder has any sign of a run."""
    return any((folder / sign).exists() for sign in SIGNS)


def place(name: str | Path) -> Path:
    """Returns the folder of a run: a path from where one stands, or a name under checkpoint/.

    What holds a run goes before what does not. A bare name is looked for under checkpoint/ first.
    """
    path = Path(name)
    is_bare = os.sep not in str(name).rstrip(os.sep)
    candidates = [RUNS / path, path] if is_bare else [path, RUNS / path]
    with reading(path):
        return next((folder for folder in candidates if holds_run(folder)), candidates[0])


def checkpoint_at(name: str | Path) -> Path:
    """Returns a checkpoint file: itself, or the best one of a run that is named as `place` says.

    InputError, with the runs that are there, where it is neither.
    """
    path = Path(name)
    with reading(path):
        if path.exists() and not path.is_dir():
            return path
        folder = place(name)
        if folder.is_dir():
            path = folder / BEST
        if not path.exists():
            raise InputError(f'{path}: no checkpoint there{known_runs()}')
        return path


def known_runs() -> str:
    """Returns the end of a message on a run that is not there: those that are."""
    try:
        names = sorted(folder.name for folder in RUNS.iterdir() if holds_run(folder))
    except OSError:
        names = []
    listed = ', '.join(names)
    short = listed if len(listed) < 300 else f'{listed[:300]} ...'
    return f'; the runs under {RUNS.name}/ are {short}' if names else ''


def require_run(folder: Path, file: str) -> None:
    """Raises InputError, with what could be meant, where a folder lacks this checkpoint."""
    with reading(folder):
        if (folder / file).exists() or file == LAST and (folder / PREVIOUS).exists():
            return
        hint = known_runs()
        if file == LAST and (folder / BEST).exists():
            hint = f'; a new run can start from the weights in its {BEST}, with --init'
    raise InputError(f'{folder / file}: no checkpoint there{hint}')


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
        raise InputError(f'{folder}: is in use by another run; wait for it, or give this one '
                         'another --exp') from None
    except OSError as error:
        raise InputError(f'{folder}: the run folder cannot be written: {error.strerror}') from None
    return lock


@contextmanager
def tables_lock(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it against other writers of its tables and against being moved aside."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / TABLES_LOCK, timeout=60)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f'{folder / TABLES_LOCK}: another process has been writing tables '
                         'for a minute') from None
    try:
        yield
    finally:
        lock.release()


def check_place(folder: Path) -> None:
    """Raises InputError where a folder cannot become a run's, as it holds more than a run."""
    own = os.path.realpath(folder)
    for other, name in ((Path.cwd(), 'the folder that you stand in'),
                        (RUNS, f'{RUNS.name}/, which holds the runs')):
        if f'{os.path.realpath(other)}{os.sep}'.startswith(own.rstrip(os.sep) + os.sep):
            raise InputError(f'--exp {folder}: is {name}, or above it; give the run a folder of its own')
    with reading(folder):
        inner = sorted(path.name for path in folder.iterdir() if holds_run(path)) if folder.is_dir() else []
    if inner:
        raise InputError(f'--exp {folder}: holds other runs ({", ".join(inner)[:200]}); give this one a '
                         'folder of its own')


def new_run_id() -> str:
    """Returns a name that no other run has; the same in all processes."""
    return distributed.gather(uuid4().hex)[0]


def start_run(folder: Path, settings: Mapping[str, Any], run_id: str) -> FileLock:
    """Locks the run folder and writes options.json into it; whatever run is there is moved aside.

    InputError where the folder is no place for a run.
    """
    check_place(folder)
    lock = lock_run(folder)
    try:
        if holds_run(folder):
            move_aside(folder)
            lock.release()
            lock = lock_run(folder)
        write_about(folder, {'options': dict(settings), **circumstances(), 'run_id': run_id, 'started': now(),
                             'resumed': []})
    except BaseException:
        lock.release()
        raise
    return lock


def move_aside(folder: Path) -> None:
    """Renames a run's folder, with a warning that says what it was and how it is used again."""
    what, hint = 'an earlier run', 'add --is_load to go on with a run instead'
    if (folder / BEST).exists() and not (folder / LAST).exists():
        what = 'a released run, weights without the state of training'
        hint = 'add --is_eval to score it instead, or --init to start from its weights'
    number = next(n for n in range(1, 10**6) if not folder.with_name(f'{folder.name}.{n}').exists())
    try:
        with tables_lock(folder):  # an evaluation that is writing its tables ends first
            kept = folder.rename(folder.with_name(f'{folder.name}.{number}'))
    except OSError as error:
        raise InputError(f'{folder}: holds {what}, which cannot be moved aside: {error.strerror}') from None
    log.warning('%s held %s, now moved to %s (%s)', folder, what, kept, hint)


def now() -> str:
    """Returns the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec='seconds')


def circumstances() -> dict[str, Any]:
    """Returns what a run's numbers depend on beside its options: revision, versions, threads, processes."""
    return environment() | {'processes': distributed.processes()}


def read_about(folder: Path) -> dict[str, Any]:
    """Returns what options.json holds; nothing where it is not there or not readable."""
    try:
        about = read_json(folder / ABOUT)
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Writes options.json, whole or not at all."""
    write_text(folder / ABOUT, json.dumps(about, indent=2) + '\n')


def note_resume(folder: Path, settings: Mapping[str, Any], run_id: str, *, epochs_done: int) -> None:
    """Adds to options.json that a run goes on, in which circumstances, and up to which epoch."""
    new = {'options': dict(settings), **circumstances(), 'resumed': []}
    about = new | read_about(folder) | {'run_id': run_id}
    before = about['resumed'] if isinstance(about['resumed'], list) else []
    entry = {'time': now(), 'epochs_done': epochs_done, 'epochs': settings['epoch'], **circumstances()}
    write_about(folder, about | {'resumed': [*before, entry]})


def owner(folder: Path) -> str | None:
    """Returns whose a folder is: the id of its run, or a stand-in where it is older than those.

    None where it holds no run.
    A folder with tables alone is the scored checkpoint's.
    """
    if about := read_about(folder):
        return str(about.get('run_id') or hashlib.sha256(repr(about.get('options')).encode()).hexdigest())
    if (folder / LAST).exists() or (folder / BEST).exists():
        return 'a run without options.json'
    if (folder / RESULTS).exists():
        try:
            scored = read_json(folder / RESULTS)['checkpoint']
            return str(scored['run_id'] or scored['sha256'])
        except (OSError, LookupError, TypeError, ValueError):
            return 'tables of an unknown checkpoint'
    return None
