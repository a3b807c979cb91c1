"""Run folders and checkpoints: everything needed to go on, in one dictionary of tensors and plain containers."""
import json
import logging
import os
import platform
import shutil
import subprocess
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import torch
from filelock import FileLock, Timeout

from utils.common import distributed
from utils.common.errors import InputError
from utils.common.files import UNFINISHED, remove_leftovers, whole_file, write_text
from utils.common.untrusted import check_archive

log = logging.getLogger('ksof')
PROJECT = Path(__file__).resolve().parents[2]
RUNS = PROJECT / 'checkpoint'
LAST, BEST, PREVIOUS = 'ckpt_last.pth.tar', 'ckpt_best.pth.tar', 'ckpt_previous.pth.tar'
LOCK = 'run.lock'
# Settings that earlier versions did not have, with the values that mean what those did.
NEWER_SETTINGS = {'without': 'nothing', 'wiring': 'inner', 'path_weight': 0.0, 'error_weighting': 0.0,
                  'symmetry': 'off', 'velocity_weight': 0.0, 'near_frames': 0.0, 'mirror': 0.0,
                  'reverse': 0.0, 'stretch': 0.0, 'shift': 0.0, 'balance': 0.0, 'average': 0.0, 'amp': False, 'tf32': False,
                  'compile': False}

Checkpoint = dict[str, Any]


def lock_run(folder: Path) -> FileLock:
    """Make the run folder and hold it until this process ends. InputError if another live run does, or it cannot be made."""
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


def start_run(folder: Path, options: dict[str, Any]) -> FileLock:
    """Lock the run folder and save options, git revision and versions in it; an earlier run there is moved aside."""
    lock = lock_run(folder)
    if (folder / LAST).exists():
        number = next(n for n in range(1, 10**6) if not folder.with_name(f'{folder.name}.{n}').exists())
        kept = folder.rename(folder.with_name(f'{folder.name}.{number}'))
        log.warning('%s held an earlier run, now moved to %s (add --is_load to go on with a run instead)', folder, kept)
        lock.release()
        lock = lock_run(folder)
    made = {'options': options, **environment(), 'processes': distributed.processes()}
    write_text(folder / 'options.json', json.dumps(made, indent=2) + '\n')
    return lock


def environment() -> dict[str, Any]:
    """Git revision and versions behind a result."""
    git = ['git', '-C', str(PROJECT)]
    try:
        revision = subprocess.run([*git, 'rev-parse', 'HEAD'], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, 'status', '--porcelain', '-uno'], capture_output=True, text=True, check=True).stdout
        revision += ' with uncommitted changes' if changed else ''
    except (OSError, subprocess.CalledProcessError):
        revision = 'unknown: not a git checkout'
    return {'git_revision': revision, 'python': platform.python_version(), 'torch': torch.__version__,
            'numpy': numpy.__version__, 'threads': torch.get_num_threads()}


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """States of the generators that dropout draws from."""
    states = {'cpu': torch.get_rng_state()}
    if device.type == 'cuda':
        states['cuda'] = torch.cuda.get_rng_state(device)
    return states


def save(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all; the last one stays as the one before it. OSError if that fails."""
    try:
        with whole_file(path) as temporary:
            with temporary.open('wb') as file:
                torch.save(state, file)
            if path.name == LAST and path.exists():
                keep_previous(path)
    except (OSError, RuntimeError) as error:
        raise OSError(0, f'the checkpoint could not be written ({reason_of(error)}); the one before it is still good: '
                         'make room and add --is_load', str(path)) from None


def keep_previous(path: Path) -> None:
    """Give the file a second name, so that at no moment there is none by the first."""
    second = path.with_name(f'.{PREVIOUS}{UNFINISHED}')
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:  # not every file system has links
        shutil.copyfile(path, second)
    second.replace(path.with_name(PREVIOUS))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint to the CPU; only tensors and plain containers are admitted. InputError if that fails."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, path.stat().st_size)
        with warnings.catch_warnings(action='ignore'):  # of a pickle that is not torch's, which is refused anyway
            state = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError:
        raise InputError(f'{path}: no checkpoint there; train first, or name one with --ckpt') from None
    except Exception as error:  # a damaged file may raise any
        raise InputError(f'{path}: is not a readable checkpoint ({reason_of(error)})') from None
    wanted = {'model': dict, 'options': dict, 'epoch': int}
    wrong = [name for name, kind in wanted.items() if not isinstance(state, dict) or not isinstance(state.get(name), kind)]
    if wrong:
        raise InputError(f'{path}: is not a checkpoint of this project (no {", ".join(wrong)})')
    state['options'] = NEWER_SETTINGS | state['options']
    return state


def reason_of(error: Exception) -> str:
    """The first line of what an exception says, cut to a length that a terminal bears."""
    text = getattr(error, 'strerror', None) or str(error).strip() or type(error).__name__
    return text.split('\n')[0][:200]


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """What goes wrong in the block, where a checkpoint's contents are put to use, is an InputError that names the file."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise InputError(f'{path}: its contents do not fit this version ({reason_of(error)})') from None


def load_last(folder: Path) -> tuple[Checkpoint, Path]:
    """The run's last checkpoint and its path; where it is damaged, the one before, with a warning. InputError if none."""
    path, previous = folder / LAST, folder / PREVIOUS
    try:
        return load(path), path
    except InputError as error:
        if not previous.exists():
            raise
        log.warning('%s: going on from the one before it, %s', error, previous.name)
        return load(previous), previous


def check_settings(state: Checkpoint, options: dict[str, Any], names: tuple[str, ...], path: Path) -> None:
    """InputError naming the first of the given settings in which a checkpoint differs from this command."""
    for name in names:
        theirs, ours = state['options'].get(name), options[name]
        if theirs != ours:
            raise InputError(f'{path}: was made with --{name} {theirs}, this command says {ours}')


def restore_random_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put the generators back to where `random_states` found them."""
    torch.set_rng_state(states['cpu'])
    if device.type == 'cuda' and 'cuda' in states:
        torch.cuda.set_rng_state(states['cuda'], device)
