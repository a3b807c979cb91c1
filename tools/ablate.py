"""Train variants of KSOF on CMU mocap, each with one change, and write their validation errors as a table.

The test split is not read.
Options of main_cmu_3d.py are passed on to every run (--d_model 4, --epoch 4, --cuda_idx cpu, ...).
Given again, the command resumes where it stopped. A run that fails does not stop the others.
With different changes in --only, several commands may work on the same folder at the same time.
"""
import argparse
import logging
import sys
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import opt
from main_cmu_3d import DEFAULTS
from tools.series import PlannedRun, begun_run, do_runs, fail_if_any, plan_run, read_words, refuse_own
from utils.build import build_network, open_checkpoint, without_memory
from utils.common.cli import log_to_terminal, run_tool, tool_parser
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.common.run_folder import RUNS, checkpoint_at
from utils.data.cmu import DATASET
from utils.data.dataset import find_root
from utils.report.tables import Block, Table, markdown, number, terminal

log = logging.getLogger('ksof')
# Options that this tool sets for each run.
OURS = ('--data_dir', '--exp', '--seed', '--is_load', '--is_eval', '--ckpt', '--no_test')
BASE = 'unchanged'
# The options of each change. *2 and /2 stand for twice and half of the command's own value:
# a network whose step takes twice as long trains half as many epochs, so that all train about as long.
CHANGES = {
    BASE: '',
    'sgcn_only': '--without ktcn',
    'ktcn_only': '--without sgcn',
    'no_sof': '--without fusion',
    'no_gates': '--without gates',
    'sof_without_sum': '--without fusion_residual',
    'topk_magnitude': '--topk magnitude',
    'topk_packed': '--topk packed',
    'topk_inside': '--topk inside',
    'topk_off': '--topk off',
    'wiring_inner': '--wiring inner',
    'jps_0': '--jps_weight 0',
    'jps_1': '--jps_weight 1',
    'jps_10': '--jps_weight 10',
    'jps_100': '--jps_weight 100',
    'jps_1000': '--jps_weight 1000',
    'jps_10000': '--jps_weight 10000',
    'paths_0.3': '--path_weight 0.3',
    'errors_unweighted': '--error_weighting 0',
    'fixed_loss_weights': '--without loss_weights',
    'layer_norm': '--without batch_norm',
    'tcn_coordinates': '--tcn_axis coordinates',
    'd_model_x2': '--d_model *2 --epoch /2',
    'd_model_x4': '--d_model *4 --epoch /4',
}


class Trained(NamedTuple):
    """What a run's checkpoint tells of its training.

    parameters: number of the network's weights.
    epochs: epochs trained.
    minutes: time that they took.
    best: entry of the best epoch in the history.
    """

    parameters: int
    epochs: int
    minutes: float
    best: dict[str, float]


def parse_arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = tool_parser(__doc__)
    parser.add_argument('data', metavar='DATA', help='dataset root with cmu_mocap/')
    parser.add_argument('--only', metavar='CHANGE', nargs='+', choices=tuple(CHANGES), default=[],
                        help='train these alone, not all of ' + ', '.join(CHANGES))
    parser.add_argument('--seeds', type=opt.at_least(0), nargs='+', default=[0, 1],
                        help='train each with these')
    parser.add_argument('--runs', metavar='DIR', type=Path, default=RUNS / 'ablations',
                        help='where the runs are kept')
    arguments, more = parser.parse_known_args(argv)
    refuse_own(more, OURS, 'run')
    find_root(arguments.data, DATASET)
    return arguments, more


def main(argv: Sequence[str] | None) -> None:
    arguments, more = parse_arguments(argv)
    log_to_terminal()
    words = ['--data_dir', arguments.data, *more]
    settings = read_words(DATASET, DEFAULTS, words)
    if settings['refit'] or starts_from_refit(settings['init']):
        raise InputError(f'--{"refit" if settings["refit"] else "init"}: a refit has been trained on the '
                         'validation windows that the variants are compared by; leave it out')
    names = [name for name in arguments.only or CHANGES if changes_something(name, words, settings)]
    if not names:
        raise InputError('--only: names nothing that differs from the command\'s own settings')
    plans = [plan_change(name, seed, words, settings, arguments.runs)
             for seed in arguments.seeds for name in names]
    seeds = arguments.seeds
    others = [(name, seed) for name in CHANGES if name not in names for seed in seeds
              if folder_of(arguments.runs, name, seed).exists()]
    strange = {pair for pair in others if not fits(*pair, words, settings, arguments.runs)}
    page, failed = arguments.runs / 'ablations.md', []
    for plan, code in do_runs(plans, evaluate_finished=False):
        failed += [plan.name] if code else []
        if plan.folder.is_dir():
            write_text(page, markdown(blocks(arguments.runs, seeds, strange)))
    if page.exists():
        print(terminal(blocks(arguments.runs, seeds, strange)))
        print(f'written: {page}')
    fail_if_any(failed, len(plans), 'runs')


def starts_from_refit(init: str | None) -> bool:
    """Tells whether --init names weights that a --refit made."""
    return bool(init and open_checkpoint(checkpoint_at(init)).settings['refit'])


def plan_change(name: str, seed: int, words: Sequence[str], settings: Mapping[str, Any],
                runs: Path) -> PlannedRun:
    """Plans one run of a change.

    name: key of CHANGES.
    words: the command line that is changed.
    settings: what a main reads from it.
    runs: folder of all run folders.

    Raises InputError if a main would refuse the options or the folder holds a run of other settings.
    """
    words = [*words, '--no_test', '--seed', str(seed), *changed_words(CHANGES[name], settings)]
    folder = folder_of(runs, name, seed)
    return plan_run(folder.name, DATASET, DEFAULTS, words, folder.resolve())


def folder_of(runs: Path, name: str, seed: int) -> Path:
    """Returns the run folder of a change and a seed."""
    return runs / f'{name}_seed{seed}'


def fits(name: str, seed: int, words: Sequence[str], settings: Mapping[str, Any], runs: Path) -> bool:
    """Tells whether a run that is not planned may stand in the table; logs it if its settings are others.

    The parameters are those of `plan_change`.
    """
    try:
        plan_change(name, seed, words, settings, runs)
    except InputError as error:
        log.warning('left out of the table: %s', error)
        return False
    return True


def changes_something(name: str, words: Sequence[str], settings: Mapping[str, Any]) -> bool:
    """Says whether a change differs from the command's own settings; logs it if it does not.

    It may not differ where the command names a recipe that makes the same change.
    """
    changed = read_words(DATASET, DEFAULTS, [*words, *changed_words(CHANGES[name], settings)])
    if name == BASE or any(changed[key] != value for key, value in settings.items() if key != 'exp'):
        return True
    log.info('%s is left out: %s is what the command says already', name, CHANGES[name])
    return False


def changed_words(change: str, settings: Mapping[str, Any]) -> list[str]:
    """Returns the options of a change, with *N and /N replaced by the numbers that they stand for."""
    words = change.split()
    for k, word in enumerate(words):
        if word[0] in '*/':
            value, factor = settings[words[k - 1].removeprefix('--')], int(word[1:])
            words[k] = str(value * factor if word[0] == '*' else max(1, value // factor))
    return words


def blocks(runs: Path, seeds: Sequence[int], strange: Container[tuple[str, int]]) -> list[Block]:
    """Makes the table of every change that has a run with a finished epoch, beside the unchanged network.

    strange: change and seed of the runs that are left out.
    """
    found = {name: [None if (name, seed) in strange else read_run(folder_of(runs, name, seed))
                    for seed in seeds] for name in CHANGES}
    cells = [['change', 'parameters', 'epochs', 'minutes', *(f'seed {seed}' for seed in seeds), 'mean',
              'against unchanged', 'acceleration error', 'acceleration', 'bone error', 'gradient of JPS']]
    for name, of_seeds in found.items():
        trained = [run for run in of_seeds if run]
        if not trained:
            continue
        pairs = [(run.best['validation'], base.best['validation'])  # of the same seed
                 for run, base in zip(of_seeds, found[BASE], strict=True) if run and base]
        against = '-'
        if pairs and all(base for _, base in pairs):
            change = sum(run for run, _ in pairs) / sum(base for _, base in pairs) - 1
            against = f'{100 * change:+.1f}%'
        keys = ('validation', 'acceleration_error', 'acceleration', 'bone_error', 'share_jps')
        # A run of an earlier version lacks what that did not measure.
        error, wrong, own, bones, share = (mean(run.best[key] for run in trained) if all(
            key in run.best for run in trained) else None for key in keys)
        cells.append([name, f'{trained[0].parameters:,}', str(trained[0].epochs),
                      f'{mean(run.minutes for run in trained):.1f}',
                      *(f'{run.best["validation"]:.2f}' if run else '-' for run in of_seeds), number(error),
                      against, number(wrong), number(own), number(bones),
                      '-' if share is None else f'{100 * share:.1f}%'])
    return ['Validation MPJPE in mm over all predicted frames, at the best epoch of each seed; acceleration '
            'error and the prediction\'s own mean acceleration, in mm per frame squared; error of the '
            'bones\' lengths, in mm; the share of JPS in the norms of the loss terms\' gradients. Means of '
            'the seeds.',
            Table(cells)]


def read_run(folder: Path) -> Trained | None:
    """Reads what a run's checkpoint tells of its training; None before its first epoch."""
    begun = begun_run(folder)
    if not begun or not begun.saved.get('history'):
        return None
    state = begun.saved
    with without_memory():
        model = build_network(begun.settings)
    return Trained(sum(weights.numel() for weights in model.parameters()), state['epoch'],
                   sum(entry['seconds'] for entry in state['history']) / 60, state['best'])


if __name__ == '__main__':
    sys.exit(run_tool(main))
