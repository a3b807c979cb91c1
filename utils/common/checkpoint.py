"""Checkpoint files: everything needed to resume, in one dictionary of tensors and plain containers."""
import hashlib
import logging
import os
import pickle
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from utils.common.cli import is_out_of_memory
from utils.common.errors import InputError, check_not_pointer
from utils.common.files import open_regular, whole_file
from utils.common.structure import LARGEST, Number, Text, check_like
from utils.common.untrusted import check_archive

log = logging.getLogger('ksof')
LAST, BEST, PREVIOUS = 'ckpt_last.pth.tar', 'ckpt_best.pth.tar', 'ckpt_previous.pth.tar'
OLDER_KEYS = {'optimiser': 'optimizer', 'schedule': 'lr_scheduler'}  # as earlier versions wrote them

Checkpoint = dict[str, Any]


def save(path: Path, state: Checkpoint) -> None:
    """Writes a checkpoint, whole or not at all; the last one stays as the one before it.

    OSError if that fails.
    """
    try:
        with whole_file(path) as temporary:
            with temporary.open('wb') as file:
                torch.save(state, file)
            if path.name == LAST and path.exists():
                keep_previous(path)
    except (OSError, RuntimeError) as error:
        raise OSError(0, f'the checkpoint could not be written ({reason_of(error)}); the one before it is '
                         'still good: make room and add --is_load', str(path)) from None


def keep_previous(path: Path) -> None:
    """Gives the file a second name, so that at no moment there is none by the first."""
    # Not the name of what `remove_leftovers` removes, which may be called while this goes on.
    second = path.with_name(f'.{PREVIOUS}.new')
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:  # not every file system has links
        shutil.copyfile(path, second)
    second.replace(path.with_name(PREVIOUS))


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint to the CPU, of tensors and plain containers alone. InputError if that fails."""
    return load_with_digest(path)[0]


def load_with_digest(path: Path) -> tuple[Checkpoint, str]:
    """Returns what `load` does, and the SHA-256 of the bytes that were read. InputError if that fails."""
    try:
        # torch warns of a pickle that is not its own.
        with open_regular(path) as file, warnings.catch_warnings(action='ignore'):
            check_start(path, file.read(100))
            with zipfile.ZipFile(file) as archive:
                check_archive(archive, os.fstat(file.fileno()).st_size)
            file.seek(0)
            state = torch.load(file, map_location='cpu', weights_only=True)
            file.seek(0)
            digest = hashlib.file_digest(file, 'sha256').hexdigest()
    except FileNotFoundError:
        raise InputError(f'{path}: no checkpoint there') from None
    except InputError:
        raise
    except pickle.UnpicklingError:
        raise InputError(f'{path}: is not a readable checkpoint (holds Python objects besides tensors and '
                         'plain containers: another project\'s, not opened because it could run '
                         'any code)') from None
    except Exception as error:  # a damaged file may raise any
        raise InputError(f'{path}: is not a readable checkpoint ({reason_of(error)})') from None
    wanted = {'model': dict, 'options': dict, 'epoch': int}
    if wrong := [name for name, kind in wanted.items()
                 if not isinstance(state, dict) or not isinstance(state.get(name), kind)]:
        raise InputError(f'{path}: is not a checkpoint of this project (no {", ".join(wrong)})')
    state = {OLDER_KEYS.get(name, name): value for name, value in state.items()}
    with fitting(path):
        check_records(state)
    return state, digest


def check_start(path: Path, start: bytes) -> None:
    """Refuses a Git LFS pointer, and what begins like no checkpoint of torch since 1.6, with an InputError.

    start: the file's first bytes.
    """
    check_not_pointer(path, start)
    if not start.startswith(b'PK'):
        what = ('is empty' if not start
                else 'is a pickle: another project\'s checkpoint, or one of torch before 1.6'
                if start.startswith(b'\x80')
                else 'is a web page' if start.lstrip()[:1] == b'<' else 'is no zip archive')
        raise InputError(f'{path}: is not a readable checkpoint ({what})')


def best_entry(history: list[dict[str, float]]) -> dict[str, float] | None:
    """Returns the entry of the epoch that a run keeps: that with the lowest validation error.

    A run that was trained on its validation windows, which its entries say, keeps its last epoch.
    Returns None before the first epoch.
    """
    if history and history[-1].get('refit'):
        return history[-1]
    return min(history, key=lambda entry: entry['validation'], default=None)


def check_records(state: Checkpoint) -> None:
    """Checks what a checkpoint says of its run, beside the tensors and the settings; not all say everything.

    Raises ValueError where a value is of another kind, or beyond what a run can have.
    """
    check_like(state['epoch'], Number(int, 0, 10**6), 'epoch')
    check_like(state.get('run_id') or '', Text(r'[\w.-]{0,64}'), 'run_id')
    check_like(state.get('training_windows', 1), Number(int, 1), 'training_windows')
    check_like(data := state.get('data', {}), dict.fromkeys(data, Text(r'\w{0,128}')), 'data')
    if 'history' not in state:
        return
    history = state['history']
    check_like(history, [Any] * state['epoch'], 'history')
    for k, entry in enumerate(history, start=1):
        if not isinstance(entry, dict) or not all(re.fullmatch(r'\w{1,40}', name) for name in entry):
            raise ValueError(f'history.{k - 1}: is no record of an epoch')
        known = {'epoch': k, 'lr': Number(float), 'validation': Number(float),
                 'seconds': Number(float, 0, 1e9)}
        check_like(entry, dict.fromkeys(entry, Number(float, -LARGEST)) | known, f'history.{k - 1}')
    best = best_entry(history)
    check_like(state.get('best', best), best, 'best')


def reason_of(error: Exception) -> str:
    """Returns the first line of what an exception says, cut to a length that a terminal bears."""
    # What a GPU says of its memory stays: it has the sizes.
    if is_out_of_memory(error) and not isinstance(error, torch.OutOfMemoryError):
        return 'not enough memory'
    text = getattr(error, 'strerror', None) or str(error).strip() or type(error).__name__
    return re.sub(r'\x1b\[[0-9;]*m', '', text.split('\n')[0])[:200]


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Makes what goes wrong in the block an InputError that names the file.

    For the places where a checkpoint's contents are put to use.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise InputError(f'{path}: its contents do not fit this version ({reason_of(error)})') from None


def check_settings(theirs: Mapping[str, Any], ours: Mapping[str, Any], names: Sequence[str],
                   path: Path) -> None:
    """Raises InputError that names all given settings in which a checkpoint differs from this command.

    theirs: the checkpoint's settings.
    ours: this command's.
    path: the checkpoint.
    """
    differing = [name for name in names if theirs.get(name) != ours[name]]
    if differing:
        said = '; with '.join(f'{"dataset " if name == "dataset" else f"--{name} "}{theirs.get(name)}, this '
                              f'command says {ours[name]}' for name in differing)
        raise InputError(f'{path}: was made with {said}')


def same_run(one: Checkpoint, other: Checkpoint) -> bool:
    """Tells whether two checkpoints are of one run.

    By its id, or by the epochs that both went through, their seconds included.
    """
    ids = one.get('run_id'), other.get('run_id')
    if all(ids):
        return ids[0] == ids[1]
    epochs = min(len(one['history']), len(other['history']))
    return bool(one['history'][:epochs] == other['history'][:epochs])
