"""Files that appear whole or not at all."""
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:
    raise SystemExit('error: this project locks its files as Linux and macOS do; on Windows run it '
                     'in WSL') from None

UNFINISHED = '.unfinished'  # the end of a temporary file's name


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to.

    It replaces `path` when the block succeeds and vanishes when it fails.
    An OSError of the block that names no other file names `path`.

    The block writes to the file that is there and does not replace it: its writer holds a lock on it for as
    long as it lives, which is how `remove_leftovers` knows the files of writers that were killed.
    """
    with naming(path):
        descriptor, temporary = locked_temporary(path)
    try:
        with naming(path, temporary):
            yield temporary
            os.fsync(descriptor)
            temporary.chmod(0o644)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Makes an OSError in the block name `path` where it names no file, or a temporary one for `path`."""
    try:
        yield
    except OSError as error:
        if temporary is None or error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise


def locked_temporary(path: Path) -> tuple[int, Path]:
    """Makes a new file beside `path`, open and locked."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}-', suffix=UNFINISHED)
        with suppress(OSError):  # a file system without locks: its leftovers stay
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if Path(name).exists():
            return descriptor, Path(name)
        os.close(descriptor)  # taken for a leftover before it was locked


def is_hidden(path: Path) -> bool:
    """Tells whether a file is hidden, such as the `._name` that macOS puts beside a `name`: never data."""
    return path.name.startswith('.')


def remove_leftovers(folder: Path) -> None:
    """Removes what killed writers left in a folder and below; what a living process writes to stays."""
    for path in folder.rglob(f'.*{UNFINISHED}'):
        with suppress(OSError), path.open('rb') as file:  # someone else's, locked, or finished meanwhile
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all.

    What UTF-8 has not, of names that are none, is escaped.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding='utf-8', errors='backslashreplace')
