"""One run of a main: options, device, seeds, data, model, optimizer, resume or --is_eval, epochs, tables."""
import argparse
import logging
import os
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock
from torch import nn

from opt import SHAPE, TRAINING, check_shape, differing, given_options, parse, run_name
from utils.build import (
    Opened,
    Settings,
    build_loss,
    build_network,
    load_windows,
    open_checkpoint,
    open_last,
    train_settings,
)
from utils.common import checkpoint, distributed, run_folder
from utils.common.cli import exit_code, log_to_terminal
from utils.common.device import choose_device
from utils.common.environment import environment
from utils.common.errors import InputError
from utils.common.output import log_to
from utils.common.precision import choose_precision
from utils.data.dataset import Dataset, find_root
from utils.data.marker import is_sample
from utils.data.windows import Windows
from utils.evaluate.methods import score_methods
from utils.evaluate.results import NETWORK, Results, results_of
from utils.evaluate.symmetry import scored_network
from utils.network_file import read_network_file
from utils.report.page import write_all
from utils.train.loop import Training, build_training, restore, save_last, train

log = logging.getLogger('ksof')


def main(dataset: Dataset, defaults: dict[str, Any], argv: list[str] | None = None) -> int:
    """Runs a main and returns its exit code, as utils/common/cli.py says."""

    def work() -> None:
        with distributed.process_group():
            log_to_terminal()
            options = parse(dataset.name, dataset.title, defaults, node_n=dataset.skeleton.node_n, argv=argv)
            run(dataset, options, given_options(dataset.name, dataset.title, defaults, argv), defaults)

    advice = 'lower --batch_size, --test_batch_size or --d_model'
    return exit_code(work, out_of_memory=f'not enough memory: {advice}',
                     interrupted='stopped; a run that had begun goes on with --is_load')


class Start(NamedTuple):
    """Where a command begins.

    settings: the command's own, with the shape of the checkpoint that it begins with.
    folder: the run's.
    path, opened: that checkpoint; None for a new run with new weights.
    lock: held on the folder of a run that goes on where it lies, on rank 0.
    """

    settings: dict[str, Any]
    folder: Path
    path: Path | None = None
    opened: Opened | None = None
    lock: FileLock | None = None


def run(dataset: Dataset, options: argparse.Namespace, named: Settings, defaults: Settings) -> None:
    """Trains, or with --is_eval only evaluates, and prints the table.

    named: the options that the command line names.
    defaults: the main's own.
    """
    device = choose_device(options.cuda_idx)
    own = read_network_file(options.network) if options.network else None
    asked = choose_precision(vars(options), device) | ({'network_sha256': own.sha256} if own else {})
    start = find_start(dataset, asked, named)
    with ExitStack() as held:
        if start.lock:
            held.callback(start.lock.release)
        settings, folder = start.settings, start.folder
        check_shape(settings, dataset.title, node_n=dataset.skeleton.node_n)
        torch.manual_seed(options.seed)
        root = find_root(options.data_dir, dataset)
        model = build_network(settings, copies=1 if options.is_eval else 4, own=own).to(device)
        if settings['init'] and not (options.is_eval or options.is_load):
            take_weights(model, start)
        distributed.share_norms(model)
        if rank := distributed.rank():  # the same weights in all processes, but each its own dropout
            torch.manual_seed(options.seed + 1_000_003 * rank)
        # The test files are read before training too: what is wrong with them shows now and not after it.
        splits = ('test',) if options.is_eval else ('train', 'validation') if options.no_test else (
            'train', 'validation', 'test')
        with distributed.first_then_others():
            windows = {split: load_windows(settings, root, split, device) for split in splits}
        if options.is_eval:
            assert start.path
            print(evaluate_run(dataset, root, windows['test'], settings, folder, start.path, model))
            return
        learned = {split: windows[split] for split in ('train', 'validation')}
        training = build_training(model, build_loss(settings), learned, dataset.skeleton,
                                  train_settings(settings), folder=folder, options=settings,
                                  run_id=run_folder.new_run_id())
        if options.is_load:
            training = resume(training, start, held)
        else:
            begin(training, held)
        announce(training, defaults)
        if not options.is_load:
            save_last(training)  # from here on a stopped run can be resumed
        train(training)
        if not options.no_test:
            print(evaluate_run(dataset, root, windows['test'], settings, folder, folder / checkpoint.BEST,
                               model))


def find_start(dataset: Dataset, settings: dict[str, Any], given: Settings) -> Start:
    """Finds run folder and checkpoint, and takes the shape of the network from it.

    Nothing is written, and a run that does not fit is refused before any data is read.
    InputError naming every option that is given and differs.
    """
    named = run_folder.checkpoint_at(settings['ckpt']) if settings['ckpt'] else None
    begun = settings['is_eval'] or settings['is_load']
    if settings['init'] and not (begun and ('exp' in given or named)):
        # When the run goes on the command still has --init, which then only names its folder.
        path = run_folder.checkpoint_at(settings['init'])
        opened = open_checkpoint(path)
        check_network(opened, settings, path)
        # take_weights refuses what does not fit. The mirror image, say, may be averaged over or not.
        settings |= shape_of(opened) | {name: given[name] for name in SHAPE if name in given}
        settings |= {'dataset': dataset.name}
        if 'exp' not in given:
            settings['exp'] = run_name(settings)
        if not begun:
            folder = run_folder.place(settings['exp'])
            check_init(settings, folder, path, opened)
            return Start(settings, folder, path, opened)
    folder = run_folder.place(settings['exp'])
    if named and 'exp' not in given and (settings['is_eval'] or run_folder.holds_run(named.parent)):
        folder = named.parent
        settings['exp'] = str(folder)
    if not begun:
        return Start(settings, folder)
    said = [name for name in SHAPE if name in given or name == 'dataset']
    return (find_scored if settings['is_eval'] else find_resumed)(settings, said, folder, named)


def check_init(settings: Settings, folder: Path, path: Path, opened: Opened) -> None:
    """Says where a new run's validation error will be of windows that its first weights were trained on.

    folder: the new run's.
    path, opened: the checkpoint of --init.
    InputError where it lies in that folder, which the new run would move aside.
    """
    if path.parent.resolve() == folder.resolve():
        raise InputError(f'--init {settings["init"]}: lies in {folder}, which the new run would have too; '
                         'give it another name with --exp')
    if opened.settings['refit'] and not settings['refit']:
        log.warning('--init %s: was trained on its validation windows too, with --refit; if they are also '
                    'this run\'s, its validation error is too low, and chooses no epoch fairly', path)


def find_scored(settings: dict[str, Any], said: list[str], folder: Path, named: Path | None) -> Start:
    """Finds the checkpoint that is evaluated: the named one, or the best of the folder.

    said: the settings of the network's shape that must be the checkpoint's.
    """
    if not named:
        run_folder.require_run(folder, checkpoint.BEST)
    path = named or folder / checkpoint.BEST
    opened = open_checkpoint(path)
    check_network(opened, settings, path)
    checkpoint.check_settings(opened.settings, settings, said, path)
    check_owner(folder, path, opened)
    return Start(settings | shape_of(opened), folder, path, opened)


def find_resumed(settings: dict[str, Any], said: list[str], folder: Path, named: Path | None) -> Start:
    """Finds the checkpoint that training goes on from, and locks the folder where it goes on there.

    said: see `find_scored`.
    """
    if not named:
        run_folder.require_run(folder, checkpoint.LAST)
    lock = distributed.on_first(lambda: run_folder.lock_run(folder)) if goes_on_in(folder, named) else None
    try:
        opened, path = (open_checkpoint(named), named) if named else open_last(folder)
        check_network(opened, settings, path)
        checkpoint.check_settings(opened.settings, settings, [*said, *TRAINING], path)
        check_furthest(folder, path, opened.saved)
    except BaseException:
        if lock:
            lock.release()
        raise
    return Start(settings | shape_of(opened), folder, path, opened, lock)


def check_furthest(folder: Path, path: Path, saved: checkpoint.Checkpoint) -> None:
    """Raises InputError where the run of a checkpoint has already gone on from it in a folder."""
    last = folder / checkpoint.LAST
    if path == last or not last.exists():
        return
    try:
        other = open_checkpoint(last).saved
        with checkpoint.fitting(last):
            there = other['epoch'], other['progress']['step']
    except InputError:  # what cannot be read is no progress
        return
    with checkpoint.fitting(path):
        is_behind = checkpoint.same_run(other, saved) and there > (saved['epoch'], saved['progress']['step'])
    if is_behind:
        raise InputError(f'{path}: this run has gone on to epoch {there[0] + 1}, step {there[1]}, in {last}; '
                         'leave out --ckpt to go on from there, or give a new folder with --exp')


def shape_of(opened: Opened) -> dict[str, Any]:
    """Returns a checkpoint's dataset and what shapes its network."""
    return {name: opened.settings[name] for name in SHAPE}


def check_network(opened: Opened, settings: Settings, path: Path) -> None:
    """Says where the file of a checkpoint's own network has changed since.

    settings: this command's.
    InputError where it names such a file and the checkpoint has none, or the reverse.
    """
    theirs, ours = opened.settings['network'], settings['network']
    if theirs and not ours:
        raise InputError(f'{path}: is of a network of one\'s own, {Path(theirs).name}; no checkpoint runs a '
                         f'file by itself, so name it: --network FILE.py:{theirs.rpartition(":")[2]}')
    if ours and not theirs:
        raise InputError(f'{path}: is of KSOF, not of the network that is named: leave out --network')
    was, now = opened.settings.get('network_sha256'), settings.get('network_sha256')
    if was != now or theirs.rpartition(':')[2] != ours.rpartition(':')[2]:
        log.warning('--network %s: is not what %s was made with (%s, SHA-256 %s; now %s)', ours, path,
                    Path(theirs).name, str(was)[:12], str(now)[:12])


def goes_on_in(folder: Path, named: Path | None) -> bool:
    """Tells whether a run goes on in the folder that its checkpoint lies in, and not as a copy in another."""
    return named is None or named.parent.resolve() == folder.resolve()


def take_weights(model: nn.Module, start: Start) -> None:
    """Gives a new run the weights of another. InputError naming what does not fit."""
    assert start.opened and start.path
    weights, own = start.opened.saved['model'], model.state_dict()
    wrong = [name for name in {**own, **weights}
             if name not in own or name not in weights or own[name].shape != weights[name].shape]
    if not wrong:
        model.load_state_dict(weights)
        return
    theirs = start.opened.settings
    options = ', '.join(f'--{name} {theirs[name]}, this command says {start.settings[name]}' for name in SHAPE
                        if theirs[name] != start.settings[name])
    names = f'{len(wrong)} of its weights ({", ".join(wrong)})'[:300]
    why = f'it was made with {options}' if options else names
    raise InputError(f'--init {start.path}: does not fit: {why}')


def begin(training: Training, held: ExitStack) -> None:
    """Makes and locks the folder of a new run, on rank 0."""
    folder, options, run_id = training.folder, training.options, training.run_id
    if lock := distributed.on_first(lambda: run_folder.start_run(folder, options, run_id)):
        held.callback(lock.release)


def resume(training: Training, start: Start, held: ExitStack) -> Training:
    """Takes up the run where its checkpoint was saved.

    In another folder it goes on as a copy, with its best epoch.
    Returns the training with the run's own id. Nothing is written where the checkpoint does not fit.
    """
    assert start.opened and start.path
    saved, path = start.opened.saved, start.path
    restore(training, saved, path)
    training = replace(training, run_id=saved.get('run_id') or training.run_id)
    stays = goes_on_in(start.folder, path)
    best, epochs_done = distributed.on_first(lambda: best_of(saved, path, stays)), len(training.state.history)
    if not stays:
        begin(training, held)

    def write() -> None:
        if best:
            checkpoint.save(start.folder / checkpoint.BEST, best)
        run_folder.note_resume(start.folder, training.options, training.run_id, epochs_done=epochs_done)

    distributed.on_first(write)
    if not stays:
        save_last(training)
    log.info('going on from %s: epoch %d, step %d', path, epochs_done + 1, training.state.progress.step + 1)
    return training


def best_of(saved: checkpoint.Checkpoint, path: Path, stays: bool) -> checkpoint.Checkpoint | None:
    """Returns what the run's ckpt_best must be replaced by when it goes on.

    None where it may stay, or where there is none yet.

    saved, path: the checkpoint that it goes on from.
    stays: in the same folder.
    InputError where its best epoch is no longer there, or where there is another run's.
    """
    beside = path.with_name(checkpoint.BEST)
    other = saved if beside == path else None
    if other is None and beside.exists():
        with suppress(InputError):  # damaged: as if it were not there
            other = open_checkpoint(beside).saved
    with checkpoint.fitting(path):
        best, epochs, step = saved['best'], saved['epoch'], saved['progress']['step']
        same = other is not None and checkpoint.same_run(other, saved)
    if other is not None and not same and stays:
        raise InputError(f'{beside}: is of another run than {path.name} beside it; move one of them to a '
                         'folder of its own')
    if best is None:
        return None
    with checkpoint.fitting(beside):
        if same and other and other['epoch'] == best['epoch']:
            return None if stays else other
        if epochs == best['epoch'] and step == 0:
            return saved
        # It may have been stopped between saving the best epoch and the last.
        if same and other and stays and other['epoch'] > epochs:
            return None
    raise InputError(f'{path}: its best epoch, {best["epoch"]}, is not in {beside}, so this run would end '
                     'without it; put that file back, or start a new run from these weights with --init')


def announce(training: Training, defaults: Settings) -> None:
    """Says what is about to run, and from here on, on rank 0, keeps what is said in the run's train.log.

    defaults: the main's own; what is as they are is not said.
    """
    if not distributed.rank():
        log_to(training.folder)
    state, settings, windows = training.state, training.options, training.windows
    parameters = sum(p.numel() for p in state.model.parameters())
    chosen = differing(settings, defaults, everything=True)
    log.info('options: %s', ' '.join(f'{name}={value}' for name, value in chosen.items()))
    log.info('%s; revision %s', state.device, environment()['git_revision'])
    if distributed.processes() > 1:
        log.info('%d processes of %d windows a step', distributed.processes(), settings['batch_size'])
    log.info('%.2f M parameters; %d training and %d validation windows; run folder %s', parameters / 1e6,
             len(windows['train']), len(windows['validation']), training.folder)


def check_owner(folder: Path, path: Path, opened: Opened) -> str | None:
    """Returns whose a folder is. InputError where a checkpoint and the folder are of two runs."""
    owner = run_folder.owner(folder)
    if not goes_on_in(folder, path) and owner not in (None, opened.saved.get('run_id'), opened.digest):
        raise InputError(f'--exp {folder}: holds another run than {path} is of, so its tables do not go '
                         'there; leave --exp out to have them beside the checkpoint, or name a new folder')
    return owner


def selected_on(opened: Opened) -> str:
    """Returns what chose the epoch of a checkpoint, as the tables say it."""
    saved = opened.saved
    kept = checkpoint.best_entry(saved.get('history', []))
    if saved.get('progress', {}).get('step') or not kept or kept['epoch'] != saved['epoch']:
        return 'no data (named with --ckpt)'
    if not opened.settings['refit']:
        return 'validation'
    is_done = saved['epoch'] >= opened.settings['epoch']
    return f'no data ({"the last" if is_done else "stopped in the middle"} of a refit)'


def evaluate_run(dataset: Dataset, root: Path, windows: Windows, settings: Settings, folder: Path, path: Path,
                 model: nn.Module) -> str | None:
    """Scores a run's checkpoint and both baselines on the test windows.

    Writes the tables and returns their text.

    folder: gets the tables.
    path: the checkpoint.
    model: takes its weights.
    Returns None on other ranks than 0.
    InputError where the folder is another run's, or has become so meanwhile.
    """
    opened = open_checkpoint(path)
    checkpoint.check_settings(opened.settings, settings, SHAPE, path)
    owner, saved = check_owner(folder, path, opened), opened.saved
    with checkpoint.fitting(path):  # one's own network may be another meanwhile
        model.load_state_dict(saved['model'])
    scored = scored_network(model, settings['symmetry'], dataset.skeleton).eval()
    scores = score_methods(lambda *views: scored(*views).fused, windows, dataset,
                           batch_size=settings['test_batch_size'])
    drawn = settings['test_sample_num']
    about = {'path': os.path.relpath(path, folder), 'epoch': saved['epoch'], 'sha256': opened.digest,
             'run_id': saved.get('run_id')}
    results: Results = results_of(windows, dataset, protocol='all' if drawn < 0 else str(drawn),
                                  epoch=saved['epoch'], methods=scores.methods,
                                  selected_on=selected_on(opened),
                                  motion=scores.motion, pck=scores.pck, checkpoint=about,
                                  parameters=sum(p.numel() for p in model.parameters()),
                                  sample=is_sample(root),
                                  network=settings['network'].rpartition(':')[2] or NETWORK)

    def write() -> str:
        with run_folder.tables_lock(folder):
            if run_folder.owner(folder) != owner:
                raise InputError(f'{folder}: another run has taken this folder meanwhile; nothing is written '
                                 'there')
            return write_all(results, folder, scores.of_windows)

    return distributed.on_first(write)
