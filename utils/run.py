"""One run of a main: options, device, seeds, data, model, optimiser, resume, evaluate-only exit, epochs, tables."""
import argparse
import functools
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from model.baselines import ConstantVelocity, ZeroVelocity
from model.ksof import KSOF
from opt import SHAPE, TRAINING, parse
from utils.build import build_network
from utils.common import checkpoint, distributed
from utils.common.errors import DivergedError, InputError, Stopped, reading
from utils.common.precision import use_tf32
from utils.data.augment import Augmentation
from utils.data.dataset import Dataset, find_root
from utils.data.marker import is_sample
from utils.data.windows import Windows, build_windows
from utils.evaluate.metrics import ActionTable, by_action
from utils.evaluate.symmetry import scored_network
from utils.report.motion_table import Motion, motion_of
from utils.report.page import BASELINES, NETWORK, PREDICTED, Results, results_of, write_all
from utils.train.engine import FrameErrors, evaluate
from utils.train.loop import Training, build_training, restore, save_last, train

log = logging.getLogger('ksof')


def main(reader: Dataset, defaults: dict[str, Any], argv: list[str] | None = None) -> int:
    """Run a main and return its exit code: 0; 2 for input that cannot be used; 1 for a diverged loss or a full disk; 130 for
    Ctrl-C, 143 for SIGTERM."""
    try:
        with distributed.process_group():
            log_to_terminal()
            options = parse(reader.name, reader.title, defaults, node_n=reader.skeleton.node_n, argv=argv)
            run(reader, options)
    except InputError as error:
        distributed.say(f'error: {error}')
        return 2
    except DivergedError as error:
        distributed.say(f'error: {error}')
        return 1
    except (MemoryError, torch.OutOfMemoryError):
        distributed.say('error: not enough memory: lower --batch_size, --test_batch_size or --d_model')
        return 1
    except OSError as error:
        where = f'{error.filename}: ' if error.filename else ''
        distributed.say(f'error: {where}{error.strerror or error}')
        return 1
    except Stopped as stopped:
        distributed.say(f'{stopped}; the same command with --is_load goes on')
        return 128 + stopped.number
    except KeyboardInterrupt:
        distributed.say('\nstopped; a run that had begun goes on with --is_load')
        return 130
    except RuntimeError as error:
        if not distributed.is_lost(error):
            raise
        distributed.say('error: another process of this run has ended: see what it, or torchrun, says of it')
        return 1
    return 0


def log_to_terminal() -> None:
    """Messages go to stderr as they are; tables alone go to stdout."""
    log.handlers = [logging.StreamHandler(sys.stderr)]
    log.setLevel(logging.ERROR if distributed.rank() else logging.INFO)
    log.propagate = False


def run(reader: Dataset, options: argparse.Namespace) -> None:
    """Train, or with --is_eval only evaluate, and print the table."""
    device = choose_device(options.cuda_idx)
    choose_precision(options, device)
    torch.manual_seed(options.seed)
    folder = checkpoint.RUNS / options.exp
    root = find_root(options.data_dir, reader)
    model = build_network(vars(options)).to(device)
    distributed.share_norms(model)
    if rank := distributed.rank():  # the same weights in all processes, but each its own dropout
        torch.manual_seed(options.seed + 1_000_003 * rank)
    # The test files are read before training too: what is wrong with them shows now and not after it.
    with distributed.first_then_others():
        windows = {split: load_windows(reader, root, split, options, device)
                   for split in (('test',) if options.is_eval else ('train', 'validation', 'test'))
                   if not (split == 'test' and options.no_test)}
    if options.is_eval:
        print(evaluate_run(reader, root, windows['test'], options, folder, model, device))
        return
    training = build_training(model, windows, reader.skeleton, options, folder)
    lock = go_on(training) if options.is_load else distributed.on_first(lambda: checkpoint.start_run(folder, vars(options)))
    try:
        announce(training, device)
        if not options.is_load:
            save_last(training)  # from here on a stopped run can go on
        train(training)
        if options.no_test:
            return
        print(evaluate_run(reader, root, windows['test'], options, folder, model, device))
    finally:
        if lock:
            lock.release()


def go_on(training: Training) -> FileLock | None:
    """Lock the run folder, on rank 0, and take the run up where its last checkpoint, or the one of --ckpt, was saved."""
    options, folder = training.options, training.folder
    with reading(folder):
        begun = folder.is_dir()
    if not begun and not options.ckpt:
        raise InputError(f'{folder / checkpoint.LAST}: no checkpoint there; train first, or name one with --ckpt')
    lock = distributed.on_first(lambda: checkpoint.lock_run(folder))
    path = Path(options.ckpt or '')
    state, path = (checkpoint.load(path), path) if options.ckpt else checkpoint.load_last(folder)
    checkpoint.check_settings(state, vars(options), SHAPE + TRAINING, path)
    restore(training, state, path)
    log.info('going on from %s: epoch %d, step %d', path, len(training.history) + 1, training.progress.step + 1)
    return lock


def choose_device(name: str) -> torch.device:
    """The device of --cuda_idx; the CPU, with one warning, where CUDA or MPS is asked for and not there."""
    try:
        device = distributed.own_device(torch.device(name))
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


def choose_precision(options: argparse.Namespace, device: torch.device) -> None:
    """Exact products unless training asks for less; --amp and --tf32 are taken back, with a warning, where there is no CUDA."""
    use_tf32(False)
    for name in ('amp', 'tf32'):
        if getattr(options, name) and device.type != 'cuda':
            log.warning('--%s is for CUDA: left out on %s', name, device)
            setattr(options, name, False)


def load_windows(reader: Dataset, root: Path, split: str, options: argparse.Namespace, device: torch.device) -> Windows:
    """The windows of one split under the options' protocol; only those of training are changed as they are taken."""
    windows = build_windows(reader, root, split, input_n=options.input_n, output_n=options.output_n, dct_n=options.dct_n,
                            skip_rate=options.skip_rate, test_sample_num=options.test_sample_num, device=device,
                            allow_missing=options.allow_missing)
    if split == 'train' and (options.mirror or options.reverse or options.stretch or options.shift):
        opposite = torch.tensor(reader.skeleton.opposite, device=device)
        windows.augmentation = Augmentation(options.mirror, options.reverse, options.stretch, options.shift, opposite)
    return windows


def announce(training: Training, device: torch.device) -> None:
    """Say what is about to run."""
    parameters = sum(p.numel() for p in training.model.parameters())
    log.info('options: %s', ' '.join(f'{name}={value}' for name, value in sorted(vars(training.options).items())))
    log.info('%s; revision %s', device, checkpoint.environment()['git_revision'])
    if distributed.processes() > 1:
        log.info('%d processes of %d windows a step', distributed.processes(), training.options.batch_size)
    log.info('%.2f M parameters; %d training and %d validation windows; run folder %s', parameters / 1e6,
             len(training.windows['train']), len(training.windows['validation']), training.folder)


def evaluate_run(reader: Dataset, root: Path, windows: Windows, options: argparse.Namespace, folder: Path, model: KSOF,
                 device: torch.device) -> str | None:
    """Score the run's best checkpoint and both baselines on the test windows, write the tables, return their text (on rank 0)."""
    path = Path(options.ckpt) if options.ckpt and options.is_eval else folder / checkpoint.BEST
    state = checkpoint.load(path)
    checkpoint.check_settings(state, vars(options), SHAPE, path)
    with checkpoint.fitting(path):
        model.load_state_dict(state['model'])
    scored = scored_network(model, options.symmetry, reader.skeleton).eval()
    methods, motion = score_methods(scored, windows, reader, options, device)
    protocol = 'all' if options.test_sample_num < 0 else str(options.test_sample_num)
    results: Results = results_of(windows, reader, protocol=protocol, epoch=state['epoch'], selected_on='validation',
                                  methods=methods, motion=motion, parameters=sum(p.numel() for p in model.parameters()),
                                  sample=is_sample(root))

    def write() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        return write_all(results, folder)

    return distributed.on_first(write)


def score_methods(model: nn.Module, windows: Windows, reader: Dataset, options: argparse.Namespace,
                  device: torch.device) -> tuple[dict[str, ActionTable], Motion]:
    """MPJPE by action of the network, in both averages, and of the baselines; and how all three move."""
    score = functools.partial(evaluate, windows=windows, skeleton=reader.skeleton, batch_size=options.test_batch_size,
                              title='testing')
    errors: dict[str, FrameErrors] = {NETWORK: score(lambda *views: model(*views).fused)}
    for name, baseline in zip(BASELINES, (ZeroVelocity, ConstantVelocity), strict=True):
        errors[name] = score(baseline(options.output_n).to(device))
    table = functools.partial(by_action, action_index=windows.action_index, actions=windows.actions)
    methods = {NETWORK: table(errors[NETWORK].all_joints), PREDICTED: table(errors[NETWORK].predicted_joints),
               **{name: table(errors[name].all_joints) for name in BASELINES}}
    return methods, motion_of(errors, table)
