"""Parsed sequences in HDF5, one file for each part of a dataset, valid as long as the source files are what they were."""
import hashlib
import json
import logging
import os
from pathlib import Path

import h5py
import numpy as np

from utils.data.skeleton import Skeleton
from utils.files import remove_leftovers, whole_file

log = logging.getLogger('ksof')
VERSION = 1  # raise it when parsing or the layout of the file changes


def cache_folders(root: Path) -> list[Path]:
    """Where the cache of the dataset at `root` may lie: inside it, or in the user's cache folder if it is read-only."""
    home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    elsewhere = home / 'ksof' / hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    # The administrator can write anywhere; a folder that is write-protected for everybody is left alone all the same.
    writable = os.access(root, os.W_OK) and root.stat().st_mode & 0o222
    return [root / '.ksof_cache', elsewhere] if writable else [elsewhere]


def fingerprint(root: Path, names: list[str], skeleton: Skeleton) -> str:
    """Changes when a source file, the skeleton's tables or the cache version does."""
    files = [(name, stat.st_size, stat.st_mtime_ns) for name in names for stat in [(root / name).stat()]]
    return hashlib.sha256(json.dumps([VERSION, repr(skeleton), files]).encode()).hexdigest()


def read_cache(root: Path, part: str, names: list[str], skeleton: Skeleton) -> list[tuple[str, np.ndarray]] | None:
    """(file name, (F, J, 3) float32 positions) of every person in the named files, or None if they must be parsed."""
    expected = fingerprint(root, names, skeleton)
    for folder in cache_folders(root):
        remove_leftovers(folder)
        path = folder / f'{part}.h5'
        if not path.is_file():
            continue
        try:
            with h5py.File(path, 'r', locking=False) as file:
                if file.attrs['fingerprint'] != expected:
                    continue
                frames = file['frames'][:]
                table = json.loads(file.attrs['table'])
            ends = np.cumsum([length for _, length in table])
            if ends[-1] != len(frames):
                raise ValueError(f'{len(frames)} frames, its table says {ends[-1]}')
            return list(zip([name for name, _ in table], np.split(frames, ends[:-1]), strict=True))
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            log.warning('%s: damaged cache (%s): reading the source files again', path, str(error).split('\n')[0])
    return None


def write_cache(root: Path, part: str, names: list[str], skeleton: Skeleton,
                sequences: list[tuple[str, np.ndarray]]) -> None:
    """Keep parsed sequences for `read_cache`. A cache that cannot be written costs time, not the run."""
    table = json.dumps([(name, len(frames)) for name, frames in sequences])
    for folder in cache_folders(root):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (whole_file(folder / f'{part}.h5') as temporary,
                  h5py.File(temporary, 'w', locking=False) as file):  # whole_file has locked it
                file.attrs['fingerprint'] = fingerprint(root, names, skeleton)
                file.attrs['table'] = table
                # The checksum turns a damaged block into an error where it would be a wrong pose.
                file.create_dataset('frames', data=np.concatenate([frames for _, frames in sequences]), fletcher32=True)
            return
        except OSError as error:
            log.warning('%s: no cache kept there (%s)', folder, error.strerror or error)
