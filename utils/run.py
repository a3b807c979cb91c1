"""One run of a main: options, device, seeds, data, model, optimizer, resume, evaluate-only exit, epochs, tables."""
import argparse
import functools
import logging
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from model.baselines import ConstantVelocity, ZeroVelocity
from model.ksof import KSOF
from opt import SHAPE, TRAINING, completed, parse
from utils.build import Settings, build_loss, build_network, load_windows, train_settings
from utils.common import checkpoint, distributed, run_folder
from utils.common.cli import exit_code, log_to_terminal
from utils.common.device import choose_device
from utils.common.environment import environment
from utils.common.errors import InputError, reading
from utils.common.precision import choose_precision
from utils.data.dataset import Dataset, find_root
from utils.data.marker import is_sample
from utils.data.windows import Windows
from utils.evaluate.metrics import ActionTable, by_action
from utils.evaluate.motion import Motion, motion_of
from utils.evaluate.scoring import FrameErrors, evaluate
from utils.evaluate.symmetry import scored_network
from utils.report.page import BASELINES, NETWORK, PREDICTED, Results, results_of, write_all
from utils.train.loop import Training, build_training, restore, save_last, train

log = logging.getLogger('ksof')


def main(dataset: Dataset, defaults: dict[str, Any], argv: list[str] | None = None) -> int:
    """Runs a main and returns its exit code, as utils/common/cli.py says."""

    def work() -> None:
        with distributed.process_group():
            log_to_terminal()
            run(dataset, parse(dataset.name, dataset.title, defaults, node_n=dataset.skeleton.node_n, argv=argv))

    return exit_code(work, out_of_memory='not enough memory: lower --batch_size, --test_batch_size or --d_model',
                     interrupted='stopped; a run that had begun goes on with --is_load')


def run(dataset: Dataset, options: argparse.Namespace) -> None:
    """Trains, or with --is_eval only evaluates, and prints the table."""
    device = choose_device(options.cuda_idx)
    settings = choose_precision(vars(options), device)
    torch.manual_seed(options.seed)
    folder = run_folder.RUNS / options.exp
    root = find_root(options.data_dir, dataset)
    model = build_network(settings).to(device)
    distributed.share_norms(model)
    if rank := distributed.rank():  # the same weights in all processes, but each its own dropout
        torch.manual_seed(options.seed + 1_000_003 * rank)
    # The test files are read before training too: what is wrong with them shows now and not after it.
    splits = ('test',) if options.is_eval else ('train', 'validation') if options.no_test else (
        'train', 'validation', 'test')
    with distributed.first_then_others():
        windows = {split: load_windows(settings, root, split, device) for split in splits}
    if options.is_eval:
        print(evaluate_run(dataset, root, windows['test'], settings, folder, model))
        return
    training = build_training(model, build_loss(settings), windows, dataset.skeleton, train_settings(settings),
                              folder=folder, options=settings)
    lock = resume(training) if options.is_load else distributed.on_first(lambda: run_folder.start_run(folder, settings))
    try:
        announce(training)
        if not options.is_load:
            save_last(training)  # from here on a stopped run can be resumed
        train(training)
        if not options.no_test:
            print(evaluate_run(dataset, root, windows['test'], settings, folder, model))
    finally:
        if lock:
            lock.release()


def resume(training: Training) -> FileLock | None:
    """Locks the run folder, on rank 0, and takes up the run where its last checkpoint, or that of --ckpt, was saved."""
    settings, folder = training.options, training.folder
    with reading(folder):
        begun = folder.is_dir()
    if not begun and not settings['ckpt']:
        raise InputError(f'{folder / checkpoint.LAST}: no checkpoint there; train first, or name one with --ckpt')
    lock = distributed.on_first(lambda: run_folder.lock_run(folder))
    path = Path(settings['ckpt'] or '')
    saved, path = (checkpoint.load(path), path) if settings['ckpt'] else checkpoint.load_last(folder)
    with checkpoint.fitting(path):
        theirs = completed(saved['options'])
    checkpoint.check_settings(theirs, settings, SHAPE + TRAINING, path)
    restore(training, saved, path)
    state = training.state
    log.info('going on from %s: epoch %d, step %d', path, len(state.history) + 1, state.progress.step + 1)
    return lock


def announce(training: Training) -> None:
    """Says what is about to run."""
    state, settings, windows = training.state, training.options, training.windows
    parameters = sum(p.numel() for p in state.model.parameters())
    log.info('options: %s', ' '.join(f'{name}={value}' for name, value in sorted(settings.items())))
    log.info('%s; revision %s', state.device, environment()['git_revision'])
    if distributed.processes() > 1:
        log.info('%d processes of %d windows a step', distributed.processes(), settings['batch_size'])
    log.info('%.2f M parameters; %d training and %d validation windows; run folder %s', parameters / 1e6,
             len(windows['train']), len(windows['validation']), training.folder)


def evaluate_run(dataset: Dataset, root: Path, windows: Windows, settings: Settings, folder: Path,
                 model: KSOF) -> str | None:
    """Scores the run's best checkpoint and both baselines on the test windows, writes the tables, returns their text.

    model: takes the checkpoint's weights.
    Returns None on other ranks than 0.
    """
    path = Path(settings['ckpt']) if settings['ckpt'] and settings['is_eval'] else folder / checkpoint.BEST
    saved = checkpoint.load(path)
    with checkpoint.fitting(path):
        theirs = completed(saved['options'])
    checkpoint.check_settings(theirs, settings, SHAPE, path)
    with checkpoint.fitting(path):
        model.load_state_dict(saved['model'])
    scored = scored_network(model, settings['symmetry'], dataset.skeleton).eval()
    methods, motion = score_methods(scored, windows, dataset, batch_size=settings['test_batch_size'])
    drawn = settings['test_sample_num']
    results: Results = results_of(windows, dataset, protocol='all' if drawn < 0 else str(drawn), epoch=saved['epoch'],
                                  selected_on='validation', methods=methods, motion=motion,
                                  parameters=sum(p.numel() for p in model.parameters()), sample=is_sample(root))

    def write() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        return write_all(results, folder)

    return distributed.on_first(write)


def score_methods(network: nn.Module, windows: Windows, dataset: Dataset, *,
                  batch_size: int) -> tuple[dict[str, ActionTable], Motion]:
    """Returns MPJPE by action of the network, in both averages, and of the baselines; and how all three move."""
    score = functools.partial(evaluate, windows=windows, skeleton=dataset.skeleton, batch_size=batch_size, title='testing')
    errors: dict[str, FrameErrors] = {NETWORK: score(lambda *views: network(*views).fused)}
    for name, baseline in zip(BASELINES, (ZeroVelocity, ConstantVelocity), strict=True):
        errors[name] = score(baseline(windows.output_n).to(windows.frames.device))
    table = functools.partial(by_action, action_index=windows.action_index, actions=windows.actions)
    methods = {NETWORK: table(errors[NETWORK].all_joints), PREDICTED: table(errors[NETWORK].predicted_joints),
               **{name: table(errors[name].all_joints) for name in BASELINES}}
    return methods, motion_of(errors, table)
