"""Run folders and checkpoints: everything needed to go on, in one dictionary of tensors and plain containers."""
import json
import logging
import pickle
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from utils.errors import InputError
from utils.files import whole_file, write_text

log = logging.getLogger('ksof')
PROJECT = Path(__file__).resolve().parents[1]
RUNS = PROJECT / 'checkpoint'
LAST, BEST = 'ckpt_last.pth.tar', 'ckpt_best.pth.tar'

Checkpoint = dict[str, Any]


def start_run(folder: Path, options: dict[str, Any]) -> None:
    """Make the run folder and save options, git revision and versions in it; an earlier run there is moved aside."""
    if (folder / LAST).exists():
        number = next(n for n in range(1, 10**6) if not folder.with_name(f'{folder.name}.{n}').exists())
        kept = folder.rename(folder.with_name(f'{folder.name}.{number}'))
        log.warning('%s held an earlier run, now moved to %s (add --is_load to go on with a run instead)', folder, kept)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / 'options.json', json.dumps({'options': options, **environment()}, indent=2) + '\n')
    except OSError as error:
        raise InputError(f'{folder}: the run folder cannot be written: {error.strerror}') from None


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


def save(path: Path, *, model: nn.Module, criterion: nn.Module, optimiser: Optimizer, schedule: LRScheduler,
         options: dict[str, Any], history: list[dict[str, float]], best: dict[str, float], device: torch.device) -> None:
    """Write a checkpoint, whole or not at all. `history` has one entry for each finished epoch."""
    state = {
        'model': model.state_dict(), 'criterion': criterion.state_dict(), 'optimiser': optimiser.state_dict(),
        'schedule': schedule.state_dict(), 'options': options, 'epoch': len(history), 'history': history, 'best': best,
        'step': schedule.last_epoch, 'random': random_states(device),
    }
    with whole_file(path) as temporary:
        torch.save(state, temporary)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint to the CPU; only tensors and plain containers are admitted. InputError if that fails."""
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError:
        raise InputError(f'{path}: no checkpoint there; train first, or name one with --ckpt') from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        reason = str(error).strip().split('\n')[0]
        raise InputError(f'{path}: is not a readable checkpoint ({reason})') from None
    missing = {'model', 'options', 'epoch'} - (state.keys() if isinstance(state, dict) else set())
    if missing:
        raise InputError(f'{path}: is not a checkpoint of this project (no {", ".join(sorted(missing))})')
    return state


def check_settings(state: Checkpoint, options: dict[str, Any], names: tuple[str, ...], path: Path) -> None:
    """InputError naming the first of the given settings in which a checkpoint differs from this command."""
    for name in names:
        theirs, ours = state['options'].get(name), options[name]
        if theirs != ours:
            raise InputError(f'{path}: was made with --{name} {theirs}, this command says {ours}')


def restore(state: Checkpoint, *, model: nn.Module, criterion: nn.Module, optimiser: Optimizer, schedule: LRScheduler,
            device: torch.device) -> None:
    """Put training back to where the checkpoint was saved, random states included."""
    model.load_state_dict(state['model'])
    criterion.load_state_dict(state['criterion'])
    optimiser.load_state_dict(state['optimiser'])
    schedule.load_state_dict(state['schedule'])
    torch.set_rng_state(state['random']['cpu'])
    if device.type == 'cuda' and 'cuda' in state['random']:
        torch.cuda.set_rng_state(state['random']['cuda'], device)
