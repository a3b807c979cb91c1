"""The epochs of a run: train, validate, save, stop and resume without a trace in the weights."""
import csv
import io
import logging
import math
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.losses import KSOFLoss
from utils.common import checkpoint, distributed
from utils.common.errors import DivergedError, InputError, Stopped
from utils.common.files import write_text
from utils.common.precision import tf32
from utils.common.progress import LINE_EVERY, done_in, duration, hidden
from utils.data.skeleton import Skeleton
from utils.data.windows import Batch, Windows
from utils.evaluate.scoring import validate
from utils.evaluate.symmetry import scored_network
from utils.train.curves import Curves
from utils.train.engine import digits, epoch_order, mean_terms, train_epoch, training_errors
from utils.train.optimizer import build_ema, build_lr_scheduler, build_optimizer, compiled, draw_weights
from utils.train.settings import TrainSettings
from utils.train.shares import gradient_shares
from utils.train.signals import StopRequest
from utils.train.state import TrainState, epoch_start

log = logging.getLogger('ksof')


@dataclass(frozen=True)
class Training:
    """A run's training: the state, and what does not change while it trains.

    windows: of 'train' and 'validation', on the state's device.
    options: all settings of the run, which its checkpoints hold beside the state.
    run_id: tells its checkpoints from those of any other run.
    draw: how often each training window is drawn, (W,); None takes each once an epoch.
    """

    state: TrainState
    settings: TrainSettings
    windows: dict[str, Windows]
    skeleton: Skeleton
    folder: Path
    options: Mapping[str, Any]
    run_id: str
    draw: Tensor | None


def build_training(model: nn.Module, criterion: KSOFLoss, windows: dict[str, Windows], skeleton: Skeleton,
                   settings: TrainSettings, *, folder: Path, options: Mapping[str, Any],
                   run_id: str = '') -> Training:
    """Builds a training that has not begun, on the device of its windows.

    InputError where several processes take more windows for a step than there are.
    """
    train = windows['train']
    device, global_batch = train.frames.device, settings.batch_size * distributed.processes()
    if distributed.processes() > 1 and len(train) < global_batch:
        raise InputError(f'--batch_size {settings.batch_size}: a step of {distributed.processes()} processes '
                         f'takes {global_batch} windows, there are {len(train)}')
    criterion = criterion.to(device)
    optimizer = build_optimizer(model, criterion, settings)
    lr_scheduler = build_lr_scheduler(optimizer, settings, steps_per_epoch=epoch_steps(settings, train))
    state = TrainState(model, compiled(model) if settings.compile else model, criterion, optimizer,
                       lr_scheduler, build_ema(model, settings.average) if settings.average else None,
                       epoch_start(device))
    return Training(state, settings, windows, skeleton, folder, options, run_id,
                    draw_weights(train, settings.balance) if settings.balance else None)


def epoch_steps(settings: TrainSettings, train: Windows) -> int:
    """Returns the number of steps of an epoch."""
    return max(1, len(train) // (settings.batch_size * distributed.processes()))


def checkpoint_of(training: Training) -> checkpoint.Checkpoint:
    """Returns what a checkpoint holds: the state, the settings and what resuming checks.

    Every rank must call it.
    """
    windows = training.windows
    return training.state.state_dict() | {'options': dict(training.options), 'run_id': training.run_id,
                                          'training_windows': len(windows['train']),
                                          'data': {split: windows[split].checksum for split in windows}}


def save_last(training: Training) -> None:
    """Saves what `--is_load` resumes from."""
    saved = checkpoint_of(training)
    distributed.on_first(lambda: checkpoint.save(training.folder / checkpoint.LAST, saved))


def restore(training: Training, saved: checkpoint.Checkpoint, path: Path) -> None:
    """Puts the state back to where the checkpoint was saved, random states included.

    InputError if it does not fit, in whatever part; nothing is put back then.
    """
    windows = len(training.windows['train'])
    if saved.get('training_windows') != windows:
        raise InputError(f'{path}: was made with {saved.get("training_windows")} training windows, this data '
                         f'has {windows}')
    for split, checksum in saved.get('data', {}).items():
        if split in training.windows and training.windows[split].checksum != checksum:
            raise InputError(f'{path}: was made with other frames of {split} than are in --data_dir '
                             f'{training.options["data_dir"]}; a new run can start from its weights, with '
                             '--init')
    with checkpoint.fitting(path):
        processes = 1 + len(saved.get('random_of_others', []))
    if processes != distributed.processes():
        raise InputError(f'{path}: was made by {processes} processes, this run has '
                         f'{distributed.processes()}: start '
                         f'{"one without torchrun" if processes == 1 else f"{processes} with torchrun"}')
    with checkpoint.fitting(path):
        training.state.check(saved, steps_per_epoch=epoch_steps(training.settings, training.windows['train']))
        training.state.load_state_dict(saved)


def train(training: Training) -> None:
    """Trains the epochs that are left.

    Stopped, after saving, on SIGTERM and Ctrl-C. DivergedError.
    """
    state, curves, last = training.state, Curves(training.folder), training.folder / checkpoint.LAST
    with StopRequest() as request:
        while len(state.history) < training.settings.epoch:
            run_epoch(training, request)
            finish_epoch(training, curves)
            [number] = distributed.largest(request.number or 0)
            if number:
                raise Stopped(number, f'stopped after epoch {len(state.history)}, saved in {last}')


def run_epoch(training: Training, request: StopRequest) -> None:
    """Trains for the rest of an epoch, saving now and then. Stopped, after saving."""
    state, settings, epoch = training.state, training.settings, len(training.state.history) + 1
    train_windows, saved = training.windows['train'], time.monotonic()
    said = saved if state.history else -math.inf  # the first log step says what the whole run takes
    title = f'epoch {epoch}/{settings.epoch}'
    order = epoch_order(len(train_windows), seed=settings.seed, epoch=epoch, weights=training.draw)
    log_steps = train_epoch(state, train_windows, settings, order=order, title=title, request=request,
                            left=lambda share: done_in(seconds_left(state, settings.epoch, share)))
    with tf32(settings.tf32), closing(log_steps):
        for share in log_steps:
            if time.monotonic() - said >= LINE_EVERY and share < 1 and not has_bar():
                errors = training_errors(mean_terms(state.progress, state.criterion.terms))
                log.info('%s  %.0f%%  %s  %s', title, 100 * share, errors,
                         done_in(seconds_left(state, settings.epoch, share)))
                said = time.monotonic()
            is_due = time.monotonic() - saved >= 60 * settings.save_minutes
            # Several processes save and stop together.
            number, due = distributed.largest(request.number or 0, is_due)
            if number or due:
                save_last(training)
                saved = time.monotonic()
            if number:
                raise Stopped(number, f'stopped in epoch {epoch}, after step {state.progress.step}, saved in '
                                      f'{training.folder / checkpoint.LAST}')


def has_bar() -> bool:
    """Tells whether this process shows bars, as tqdm decides it."""
    return hidden() is None and sys.stderr.isatty()


def seconds_left(state: TrainState, epochs: int, share: float) -> float:
    """Returns about how long the rest of a run takes: as the last epoch, or in the first as its steps so far.

    share: of the epoch, what is done.
    """
    whole = state.history[-1]['seconds'] if state.history else state.progress.seconds / share
    return whole * (epochs - len(state.history) - share)


def finish_epoch(training: Training, curves: Curves) -> None:
    """Validates and saves the epoch: the best checkpoint first, as the last one says that the epoch is done.

    DivergedError where the validation error is not finite.
    """
    state, settings, folder = training.state, training.settings, training.folder
    progress = state.progress
    epoch, windows = len(state.history) + 1, progress.step * settings.batch_size * distributed.processes()
    if bad_steps := int(progress.bad_steps):
        log.warning('epoch %d: %d steps skipped, as their loss or gradient was not finite', epoch, bad_steps)
    started = time.perf_counter()
    scored = scored_network(state.scored, settings.symmetry, training.skeleton)
    validation = validate(scored, training.windows['validation'], training.skeleton,
                          batch_size=settings.test_batch_size)
    if not math.isfinite(validation['validation']):
        raise DivergedError(f'epoch {epoch}: the validation error is not finite; the last checkpoint is '
                            'kept: try a lower --lr_now')
    entry = {'epoch': epoch, 'lr': float(state.lr_scheduler.get_last_lr()[0]),
             **mean_terms(progress, state.criterion.terms),
             'windows_per_s': windows / progress.seconds, **validation,
             **gradient_shares(state.scored, state.criterion, shares_batch(training)),
             'seconds': progress.seconds + time.perf_counter() - started}
    if settings.refit:
        entry['refit'] = 1.0
    state.history.append(entry)
    state.progress = epoch_start(state.device)
    best = state.best or entry
    saved = checkpoint_of(training)

    def write() -> None:
        if best is entry:
            checkpoint.save(folder / checkpoint.BEST, saved)
        write_text(folder / 'history.csv', history_csv(state.history))
        checkpoint.save(folder / checkpoint.LAST, saved)
        curves.update(state.history, last=epoch == settings.epoch)

    distributed.on_first(write)
    log.info(epoch_line(state.history, settings.epoch, best))


def shares_batch(training: Training) -> Batch:
    """Returns a batch from all over the training split, on which an epoch's gradient shares are measured.

    Its windows are not augmented.
    """
    windows = replace(training.windows['train'], augmentation=None)
    index = torch.linspace(0, len(windows) - 1, training.settings.batch_size).long()
    return windows.batch(index.to(windows.starts.device))


def epoch_line(history: list[dict[str, float]], epochs: int, best: dict[str, float]) -> str:
    """Returns the line of a run's last finished epoch, at most 110 columns. history.csv has more of it.

    epochs: of the whole run.
    best: the entry of the epoch that is kept.
    """
    entry, total = history[-1], sum(entry['seconds'] for entry in history)
    left = entry['seconds'] * (epochs - len(history))
    validation = ('validation, trained on, ' + digits(entry['validation']) if entry.get('refit') else
                  f'validation {digits(entry["validation"])}, best {digits(best["validation"])}')
    return (f'epoch {entry["epoch"]:.0f}/{epochs}  {training_errors(entry)}  {validation}  '
            f'{done_in(left) if left else f"trained in {duration(total)}"}')


def history_csv(history: list[dict[str, float]]) -> str:
    """Returns one machine-readable line an epoch.

    Epochs of earlier versions lack what those did not measure.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, list(history[-1]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(history)
    return file.getvalue()
