"""Keeps parsed recordings in HDF5, one file for each part of a dataset.

A cache file is valid as long as the source files are what they were.
It lies in the user's own cache folder and not beside the data. A file can be made so that it crashes HDF5's
library, so a cache that came with a stranger's data must not be opened.
The checksum at the file's start keeps damaged files away from the library too.
"""
import hashlib
import io
import json
import logging
import os
import stat
from pathlib import Path

import numpy as np

from utils.common.files import remove_leftovers, whole_file
from utils.data.skeleton import Skeleton

log = logging.getLogger('ksof')
VERSION = 2  # raise it when parsing or the layout of the file changes
HEAD = 512  # bytes before the HDF5 content, left to the user by HDF5; they hold the SHA-256 of what follows


def cache_folder(root: Path) -> Path:
    """Returns the cache folder of the dataset at `root`. Raises OSError where the user has no home."""
    try:
        home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    except RuntimeError as error:
        raise OSError(str(error)) from None
    return home / 'ksof' / hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]


def fingerprint(root: Path, names: list[str], skeleton: Skeleton) -> str:
    """Returns a SHA-256 that changes when a source file, the skeleton's tables or the cache version does."""
    files = [(name, status.st_size, status.st_mtime_ns)
             for name in names for status in [(root / name).stat()]]
    return hashlib.sha256(json.dumps([VERSION, repr(skeleton), files]).encode()).hexdigest()


def read_cache(root: Path, part: str, names: list[str],
               skeleton: Skeleton) -> list[tuple[str, np.ndarray]] | None:
    """Returns every person in the named files, or None where they must be parsed.

    names: source files below `root`, for the part 'train', 'validation' or 'test'.
    Each person is a file name and (F, J, 3) float32 positions in mm.
    """
    expected = fingerprint(root, names, skeleton)
    try:
        path = cache_folder(root) / f'{part}.h5'
        remove_leftovers(path.parent)
        # O_NONBLOCK, so that a FIFO in its place is not waited for.
        with open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            ours = (stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
                    and not status.st_mode & 0o022)
            content = file.read() if ours else b''
    except OSError:
        return None
    if not ours:
        log.warning('%s: not a file that you alone may write: reading the source files again', path)
        return None
    if hashlib.sha256(content[HEAD:]).digest() != content[:32]:
        log.warning('%s: damaged cache: reading the source files again', path)
        return None
    import h5py  # loaded where it is used: --help does not wait for it

    with h5py.File(io.BytesIO(content), 'r') as parsed:
        if parsed.attrs['fingerprint'] != expected:
            return None
        table = json.loads(parsed.attrs['table'])
        ends = np.cumsum([length for _, length in table])
        return list(zip([name for name, _ in table], np.split(parsed['frames'][:], ends[:-1]), strict=True))


def write_cache(root: Path, part: str, names: list[str], skeleton: Skeleton,
                sequences: list[tuple[str, np.ndarray]]) -> None:
    """Writes parsed recordings for `read_cache`.

    A cache that cannot be written costs time, not the run: it is a warning.
    """
    memory = io.BytesIO()
    import h5py

    with h5py.File(memory, 'w', userblock_size=HEAD) as file:
        file.attrs['fingerprint'] = fingerprint(root, names, skeleton)
        file.attrs['table'] = json.dumps([(name, len(frames)) for name, frames in sequences])
        file['frames'] = np.concatenate([frames for _, frames in sequences])
    content = memory.getbuffer()[HEAD:]
    try:
        folder = cache_folder(root)
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / f'{part}.h5') as temporary, temporary.open('wb') as file:
            temporary.chmod(0o600)  # one that others may write is not read, whatever the umask says
            file.write(hashlib.sha256(content).digest().ljust(HEAD, b'\0'))
            file.write(content)
    except OSError as error:
        log.warning('%s: no cache kept there (%s)', error.filename or root, error.strerror or error)
