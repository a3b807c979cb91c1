"""The epochs of a run: train, validate, save; stopped and gone on with without a trace in the weights."""
import argparse
import csv
import io
import logging
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from model.ksof import KSOF
from model.losses import KSOFLoss
from utils.common import checkpoint, distributed
from utils.common.errors import DivergedError, InputError, Stopped
from utils.common.files import write_text
from utils.common.precision import tf32
from utils.data.skeleton import Skeleton
from utils.data.windows import Batch, Windows
from utils.evaluate.symmetry import scored_network
from utils.train.curves import Curves
from utils.train.engine import EpochProgress, epoch_order, epoch_start, train_epoch, validate
from utils.train.optimizer import build_average, build_draw, build_optimiser, build_schedule, compiled
from utils.train.shares import gradient_shares
from utils.train.signals import StopRequest

log = logging.getLogger('ksof')


@dataclass
class Training:
    """All that changes while a run trains, and what it trains on. history has an entry for each finished epoch.

    network: what training steps call: the model, or with --compile its compiled form, which has the same weights.
    averaged: the running average of its weights, which is then what is validated and scored. draw: (W,) how often each
    training window is drawn, where not all are taken once.
    """

    model: KSOF
    network: nn.Module
    averaged: AveragedModel | None
    draw: Tensor | None
    criterion: KSOFLoss
    optimiser: Optimizer
    schedule: LambdaLR
    windows: dict[str, Windows]
    skeleton: Skeleton
    options: argparse.Namespace
    folder: Path
    progress: EpochProgress
    curves: Curves
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def scored(self) -> nn.Module:
        """The network whose weights are validated and saved."""
        return self.model if self.averaged is None else self.averaged.module

    @property
    def best(self) -> dict[str, float] | None:
        """The epoch with the lowest validation error."""
        return min(self.history, key=lambda entry: entry['validation'], default=None)


def build_training(model: KSOF, windows: dict[str, Windows], skeleton: Skeleton, options: argparse.Namespace,
                   folder: Path) -> Training:
    """A run that has not begun, on the device of its windows."""
    device, together = windows['train'].frames.device, options.batch_size * distributed.processes()
    if distributed.processes() > 1 and len(windows['train']) < together:
        raise InputError(f'--batch_size {options.batch_size}: a step of {distributed.processes()} processes takes {together} '
                         f'windows, there are {len(windows["train"])}')
    criterion = KSOFLoss(options.jps_weight, options.velocity_weight, options.near_frames,
                         learned_weights=options.without != 'loss_weights', path_weight=options.path_weight,
                         error_weighting=options.error_weighting, frames=options.output_n,
                         joints=options.node_n // 3).to(device)
    optimiser = build_optimiser(model, criterion, options)
    schedule = build_schedule(optimiser, options, steps_per_epoch=max(1, len(windows['train']) // together))
    return Training(model, compiled(model, options), build_average(model, options), build_draw(windows['train'], options),
                    criterion, optimiser, schedule, windows, skeleton, options, folder, epoch_start(device), Curves(folder))


def state_of(training: Training) -> checkpoint.Checkpoint:
    """Everything needed to go on, as tensors and plain containers; of several processes all must ask for it."""
    random, *random_of_others = distributed.gather(checkpoint.random_states(training.progress.sums.device))
    return {
        'model': training.scored.state_dict(), 'average': average_state(training), 'criterion': training.criterion.state_dict(),
        'optimiser': training.optimiser.state_dict(), 'schedule': training.schedule.state_dict(),
        'step': training.schedule.last_epoch, 'epoch': len(training.history), 'progress': vars(training.progress),
        'history': training.history, 'best': training.best, 'options': vars(training.options),
        'training_windows': len(training.windows['train']),
        'random': random, 'random_of_others': random_of_others,
    }


def average_state(training: Training) -> dict[str, Any] | None:
    """What a running average needs besides itself to go on: the weights in training, and how many steps it is of."""
    if training.averaged is None:
        return None
    return {'model': training.model.state_dict(), 'steps': int(training.averaged.n_averaged)}


def save_last(training: Training) -> None:
    """Save what `--is_load` goes on from."""
    state = state_of(training)
    distributed.on_first(lambda: checkpoint.save(training.folder / checkpoint.LAST, state))


def restore(training: Training, state: checkpoint.Checkpoint, path: Path) -> None:
    """Put training back to where the checkpoint was saved, random states included. InputError if it does not fit."""
    windows = len(training.windows['train'])
    if state.get('training_windows') != windows:
        raise InputError(f'{path}: was made with {state.get("training_windows")} training windows, this data has {windows}')
    with checkpoint.fitting(path):
        processes = 1 + len(state.get('random_of_others', []))
    if processes != distributed.processes():
        raise InputError(f'{path}: was made by {processes} processes, this run has {distributed.processes()}: start '
                         f'{"one without torchrun" if processes == 1 else f"{processes} with torchrun"}')
    with checkpoint.fitting(path):
        load_state(training, state)


def load_state(training: Training, state: checkpoint.Checkpoint) -> None:
    """The opposite of `state_of`."""
    device = training.progress.sums.device
    average = state.get('average')
    training.model.load_state_dict(average['model'] if average else state['model'])
    if training.averaged is not None and average:
        training.averaged.module.load_state_dict(state['model'])
        training.averaged.n_averaged.fill_(average['steps'])
    training.criterion.load_state_dict(state['criterion'])
    training.optimiser.load_state_dict(state['optimiser'])
    training.schedule.load_state_dict(state['schedule'])
    training.progress = EpochProgress(**{name: value.to(device) if hasattr(value, 'to') else value
                                         for name, value in state['progress'].items()})
    training.history = list(state['history'])
    random = [state['random'], *state.get('random_of_others', [])][distributed.rank()]
    checkpoint.restore_random_states(random, device)


def train(training: Training) -> None:
    """The epochs that are left. Raises Stopped, after saving, on SIGTERM and Ctrl-C; DivergedError."""
    last = training.folder / checkpoint.LAST
    with StopRequest() as request:
        while len(training.history) < training.options.epoch:
            run_epoch(training, request)
            [number] = distributed.largest(request.number or 0)
            if number:
                raise Stopped(number, f'stopped after epoch {len(training.history)}, saved in {last}')


def run_epoch(training: Training, request: StopRequest) -> None:
    """Train for the rest of an epoch, validate, save."""
    options, folder, epoch = training.options, training.folder, len(training.history) + 1
    saved = time.monotonic()

    def after_reading() -> None:
        nonlocal saved
        due = time.monotonic() - saved >= 60 * options.save_minutes
        number, due = distributed.largest(request.number or 0, due)  # several processes save and stop together
        if number or due:
            save_last(training)
            saved = time.monotonic()
        if number:
            raise Stopped(number, f'stopped in epoch {epoch}, after step {training.progress.step}, saved in '
                                  f'{folder / checkpoint.LAST}')

    order = epoch_order(len(training.windows['train']), seed=options.seed, epoch=epoch, weights=training.draw)
    with tf32(options.tf32):
        means = train_epoch(training.network, training.criterion, training.windows['train'], training.optimiser,
                            training.schedule, training.progress, batch_size=options.batch_size, clip_norm=options.clip_norm,
                            skip_bad_steps=options.skip_bad_steps, order=order, title=f'epoch {epoch}/{options.epoch}',
                            stop=lambda: request.number is not None and distributed.processes() == 1,
                            after_reading=after_reading, amp=options.amp, averaged=training.averaged)
    finish_epoch(training, means)


def finish_epoch(training: Training, means: dict[str, float]) -> None:
    """Validate, and save the epoch: the best checkpoint first, as the last one says that the epoch is done."""
    options, folder, epoch = training.options, training.folder, len(training.history) + 1
    if bad_steps := int(training.progress.bad_steps):
        log.warning('epoch %d: %d steps skipped, as their loss or gradient was not finite', epoch, bad_steps)
    started = time.perf_counter()
    scored = scored_network(training.scored, options.symmetry, training.skeleton)
    validation = validate(scored, training.windows['validation'], training.skeleton, batch_size=options.test_batch_size)
    if not math.isfinite(validation['validation']):
        raise DivergedError(f'epoch {epoch}: the validation error is not finite; the last checkpoint is kept: try a lower '
                            '--lr_now')
    training.history.append({'epoch': epoch, 'lr': float(training.schedule.get_last_lr()[0]), **means,
                             **validation, **gradient_shares(training.scored, training.criterion, shares_batch(training)),
                             'seconds': training.progress.seconds + time.perf_counter() - started})
    training.progress = epoch_start(training.progress.sums.device)
    best = training.best or training.history[-1]
    state = state_of(training)

    def write() -> None:
        if best is training.history[-1]:
            checkpoint.save(folder / checkpoint.BEST, state)
        write_text(folder / 'history.csv', history_csv(training.history))
        checkpoint.save(folder / checkpoint.LAST, state)
        training.curves.update(training.history)

    distributed.on_first(write)
    log.info(epoch_line(training.history[-1], options.epoch, best))


def shares_batch(training: Training) -> Batch:
    """A batch from all over the training split, unchanged, on which an epoch's gradient shares are measured."""
    windows = replace(training.windows['train'], augmentation=None)
    return windows.batch(torch.linspace(0, len(windows) - 1, training.options.batch_size).long().to(windows.starts.device))


def epoch_line(entry: dict[str, float], epochs: int, best: dict[str, float]) -> str:
    """One short line for the terminal."""
    return (f'epoch {entry["epoch"]:.0f}/{epochs}  train {entry["fused"]:.2f} mm (K-TCN {entry["temporal"]:.2f}, S-GCN '
            f'{entry["spatial"]:.2f}, JPS {entry["jps"]:.2f} mm/frame^2, a {entry["a"]:.2f}, b {entry["b"]:.2f})  validation '
            f'{entry["validation"]:.2f} mm (best {best["validation"]:.2f}, epoch {best["epoch"]:.0f})  '
            f'{entry["windows_per_s"]:.0f} windows/s  {entry["seconds"]:.0f} s')


def history_csv(history: list[dict[str, float]]) -> str:
    """One machine-readable line an epoch. Epochs of earlier versions lack what those did not measure."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(history[-1]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(history)
    return file.getvalue()
