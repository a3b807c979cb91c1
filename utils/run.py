"""One run of a main: options, device, seeds, data, model, optimiser, resume, evaluate-only exit, epochs, tables."""
import argparse
import csv
import functools
import io
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from model.baselines import ConstantVelocity, ZeroVelocity
from model.ksof import KSOF
from model.losses import KSOFLoss
from opt import SHAPE, parse
from utils import checkpoint
from utils.curves import Curves
from utils.data.reader import Reader, find_root
from utils.data.windows import Windows, build_windows
from utils.engine import epoch_order, evaluate, train_epoch, validate
from utils.errors import DivergedError, InputError
from utils.files import write_text
from utils.metrics import by_action
from utils.report import ActionTable, Results, results_of, write_all

log = logging.getLogger('ksof')


def main(reader: Reader, defaults: dict[str, Any], argv: list[str] | None = None) -> int:
    """Run a main and return its exit code: 0, 2 for input that cannot be used, 1 for a diverged loss, 130 for Ctrl-C."""
    log_to_terminal()
    try:
        options = parse(reader.name, reader.title, defaults, node_n=reader.skeleton.node_n, argv=argv)
        run(reader, options)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except DivergedError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nstopped: the finished epochs are kept; add --is_load to go on', file=sys.stderr)
        return 130
    return 0


def log_to_terminal() -> None:
    """Messages go to stderr as they are; tables alone go to stdout."""
    log.handlers = [logging.StreamHandler(sys.stderr)]
    log.setLevel(logging.INFO)
    log.propagate = False


def run(reader: Reader, options: argparse.Namespace) -> None:
    """Train, or with --is_eval only evaluate, and print the table."""
    device = choose_device(options.cuda_idx)
    torch.manual_seed(options.seed)
    folder = checkpoint.RUNS / options.exp
    root = find_root(options.data_dir, reader)
    model = build_model(options).to(device)
    if options.is_eval:
        print(evaluate_run(reader, root, options, folder, model, device))
        return
    windows = {split: load_windows(reader, root, split, options, device) for split in ('train', 'validation')}
    criterion = KSOFLoss(options.jps_weight).to(device)
    optimiser = build_optimiser(model, criterion, options)
    schedule = build_schedule(optimiser, options, steps_per_epoch=max(1, len(windows['train']) // options.batch_size))
    history: list[dict[str, float]] = []
    if options.is_load:
        path = Path(options.ckpt) if options.ckpt else folder / checkpoint.LAST
        state = load_matching(path, options)
        checkpoint.restore(state, model=model, criterion=criterion, optimiser=optimiser, schedule=schedule, device=device)
        history = state['history']
        log.info('going on from %s, after epoch %d', path, len(history))
    else:
        checkpoint.start_run(folder, vars(options))
    announce(options, folder, model, windows, device)
    train(model, criterion, optimiser, schedule, windows, reader, options, folder, history)
    print(evaluate_run(reader, root, options, folder, model, device))


def choose_device(name: str) -> torch.device:
    """The device of --cuda_idx; the CPU, with one warning, where CUDA or MPS is asked for and not there."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f'--cuda_idx {name}: not a device; use cuda:0, mps or cpu') from None
    if device.type == 'cuda':
        count = torch.cuda.device_count()
        if count and (device.index or 0) >= count:
            raise InputError(f'--cuda_idx {name}: this machine has cuda:0 to cuda:{count - 1}')
        available = count > 0
    else:
        available = device.type == 'cpu' or (device.type == 'mps' and torch.backends.mps.is_available())
    if not available:
        log.warning('--cuda_idx %s is not available here: using the CPU', name)
        return torch.device('cpu')
    return device


def build_model(options: argparse.Namespace) -> KSOF:
    """The network these options describe."""
    return KSOF(node_n=options.node_n, input_n=options.input_n, output_n=options.output_n, dct_n=options.dct_n,
                num_gcn=options.num_gcn, d_model=options.d_model, dropout=options.dropout, tcn_axis=options.tcn_axis,
                topk=options.topk)


def load_windows(reader: Reader, root: Path, split: str, options: argparse.Namespace, device: torch.device) -> Windows:
    """The windows of one split under the options' protocol."""
    return build_windows(reader, root, split, input_n=options.input_n, output_n=options.output_n, dct_n=options.dct_n,
                         skip_rate=options.skip_rate, test_sample_num=options.test_sample_num, device=device,
                         allow_missing=options.allow_missing)


def build_optimiser(model: nn.Module, criterion: nn.Module, options: argparse.Namespace) -> torch.optim.Optimizer:
    """Adam or AdamW over the network and the loss's own parameters, the latter without weight decay."""
    kind = torch.optim.Adam if options.optimizer == 'adam' else torch.optim.AdamW
    groups: list[dict[str, Any]] = [{'params': list(model.parameters()), 'weight_decay': options.weight_decay},
              {'params': list(criterion.parameters()), 'weight_decay': 0.0}]
    return kind(groups, lr=options.lr_now, fused=True)


def learning_rate_factor(step: int, *, warmup: int, total: int, end: float) -> float:
    """Linear warm-up to 1, then a cosine down to `end` at the last step."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2


def build_schedule(optimiser: torch.optim.Optimizer, options: argparse.Namespace, *, steps_per_epoch: int) -> LambdaLR:
    """The learning rate at every step of the run."""
    factor = functools.partial(learning_rate_factor, warmup=options.warmup_steps, total=options.epoch * steps_per_epoch,
                               end=options.lr_end)
    return LambdaLR(optimiser, factor)


def load_matching(path: Path, options: argparse.Namespace) -> checkpoint.Checkpoint:
    """A checkpoint made with the same network settings as this command; InputError naming the setting otherwise."""
    state = checkpoint.load(path)
    checkpoint.check_settings(state, vars(options), SHAPE, path)
    return state


def announce(options: argparse.Namespace, folder: Path, model: nn.Module, windows: dict[str, Windows],
             device: torch.device) -> None:
    """Say what is about to run."""
    parameters = sum(p.numel() for p in model.parameters())
    log.info('options: %s', ' '.join(f'{name}={value}' for name, value in sorted(vars(options).items())))
    log.info('%s; revision %s', device, checkpoint.environment()['git_revision'])
    log.info('%.2f M parameters; %d training and %d validation windows; run folder %s', parameters / 1e6,
             len(windows['train']), len(windows['validation']), folder)


def train(model: KSOF, criterion: KSOFLoss, optimiser: torch.optim.Optimizer, schedule: LambdaLR,
          windows: dict[str, Windows], reader: Reader, options: argparse.Namespace, folder: Path,
          history: list[dict[str, float]]) -> None:
    """The epochs: train, validate, keep the last checkpoint and the best by validation."""
    device = windows['train'].frames.device
    curves = Curves(folder)
    for epoch in range(len(history) + 1, options.epoch + 1):
        started = time.perf_counter()
        order = epoch_order(len(windows['train']), seed=options.seed, epoch=epoch)
        learning_rate = float(schedule.get_last_lr()[0])
        means = train_epoch(model, criterion, windows['train'], optimiser, schedule, batch_size=options.batch_size,
                            clip_norm=options.clip_norm, order=order, title=f'epoch {epoch}/{options.epoch}')
        validation = validate(model, windows['validation'], reader.skeleton, batch_size=options.test_batch_size)
        history.append({'epoch': epoch, 'lr': learning_rate, **means, 'validation': validation,
                        'seconds': time.perf_counter() - started})
        best = min(history, key=lambda entry: entry['validation'])
        save = functools.partial(checkpoint.save, model=model, criterion=criterion, optimiser=optimiser,
                                 schedule=schedule, options=vars(options), history=history, best=best, device=device)
        if best is history[-1]:
            save(folder / checkpoint.BEST)
        save(folder / checkpoint.LAST)
        write_text(folder / 'history.csv', history_csv(history))
        curves.update(history)
        log.info(epoch_line(history[-1], options.epoch, best))


def epoch_line(entry: dict[str, float], epochs: int, best: dict[str, float]) -> str:
    """One short line for the terminal."""
    return (f'epoch {entry["epoch"]:.0f}/{epochs}  train {entry["fused"]:.2f} mm (K-TCN {entry["temporal"]:.2f}, S-GCN '
            f'{entry["spatial"]:.2f}, JPS {entry["jps"]:.2f} mm/frame^2, a {entry["a"]:.2f}, b {entry["b"]:.2f})  validation '
            f'{entry["validation"]:.2f} mm (best {best["validation"]:.2f}, epoch {best["epoch"]:.0f})  '
            f'{entry["windows_per_s"]:.0f} windows/s  {entry["seconds"]:.0f} s')


def history_csv(history: list[dict[str, float]]) -> str:
    """One machine-readable line an epoch."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(history[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(history)
    return file.getvalue()


def evaluate_run(reader: Reader, root: Path, options: argparse.Namespace, folder: Path, model: KSOF,
                 device: torch.device) -> str:
    """Score the run's best checkpoint and both baselines on the test split, write the tables, return their text."""
    path = Path(options.ckpt) if options.ckpt and options.is_eval else folder / checkpoint.BEST
    state = load_matching(path, options)
    model.load_state_dict(state['model'])
    windows = load_windows(reader, root, 'test', options, device)
    methods = score_methods(model.eval(), windows, reader, options, device)
    protocol = 'all' if options.test_sample_num < 0 else str(options.test_sample_num)
    results: Results = results_of(windows, reader, protocol=protocol, epoch=state['epoch'], selected_on='validation',
                                  methods=methods)
    folder.mkdir(parents=True, exist_ok=True)
    return write_all(results, folder)


def score_methods(model: KSOF, windows: Windows, reader: Reader, options: argparse.Namespace,
                  device: torch.device) -> dict[str, ActionTable]:
    """MPJPE by action of the network, in both averages, and of the baselines."""
    score = functools.partial(evaluate, windows=windows, skeleton=reader.skeleton, batch_size=options.test_batch_size,
                              title='testing')
    errors = score(lambda *views: model(*views).fused)
    zero = score(ZeroVelocity(options.output_n).to(device))
    constant = score(ConstantVelocity(options.output_n).to(device))
    table = functools.partial(by_action, action_index=windows.action_index, actions=windows.actions)
    return {'KSOF': table(errors.all_joints), 'KSOF predicted joints only': table(errors.predicted_joints),
            'zero velocity': table(zero.all_joints), 'constant velocity': table(constant.all_joints)}
