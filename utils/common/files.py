"""Files that appear whole or not at all."""
import errno
import io
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

try:
    import fcntl
except ImportError:
    raise SystemExit('error: this project locks its files as Linux and macOS do; on Windows run it '
                     'in WSL') from None

UNFINISHED = '.unfinished'  # the end of a temporary file's name
MAX_WHOLE = 512 * 2**20  # bytes of a file that is read whole


def open_regular(path: Path) -> io.BufferedReader:
    """Opens a file to read its bytes. A FIFO or a device raises OSError: it is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, os.strerror(number) if stat.S_ISDIR(mode) else 'is no regular file', str(path))
    return os.fdopen(descriptor, 'rb')


def read_regular(path: Path) -> bytes:
    """Reads a file whole. Raises OSError where it is no regular file, or longer than MAX_WHOLE."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_WHOLE:
            raise OSError(errno.EFBIG, f'is longer than {MAX_WHOLE // 2**20} MiB', str(path))
        return file.read(MAX_WHOLE)


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds. Raises OSError, or ValueError where it is none of finite numbers."""

    def refuse(name: str) -> None:
        raise ValueError(f'{name} is not a finite number')

    try:
        return json.loads(read_regular(path), parse_constant=refuse)
    except RecursionError:
        raise ValueError('recursion: lists in lists without end') from None


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
        temporary = path.with_name(f'.{path.name[:200]}-{uuid4().hex[:12]}{UNFINISHED}')
        # Not tempfile's, which only its owner may read whatever the umask says.
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks: its leftovers stay
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if temporary.exists():
            return descriptor, temporary
        os.close(descriptor)  # taken for a leftover before it was locked


def is_hidden(path: Path) -> bool:
    """Tells whether a file is hidden, such as the `._name` that macOS puts beside a `name`: never data."""
    return path.name.startswith('.')


def remove_leftovers(folder: Path) -> None:
    """Removes what killed writers left in a folder and below; what a living process writes to stays."""
    for path in folder.rglob(f'.*{UNFINISHED}'):
        with suppress(OSError), open_regular(path) as file:  # someone else's, locked, or finished meanwhile
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all.

    What UTF-8 has not, of names that are none, is escaped.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding='utf-8', errors='backslashreplace')
