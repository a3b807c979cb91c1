"""Train variants of KSOF on CMU mocap, one change each, and write what validation says of them as a table.

The test split is not read. Options of main_cmu_3d.py are passed on to every run (--d_model 4, --epoch 4, --cuda_idx cpu, ...).
Given again, the command goes on where it stopped; with other --only, several may work on the same folder side by side.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import opt
import utils.run
from main_cmu_3d import DEFAULTS
from utils.build import build_network
from utils.common import checkpoint
from utils.common.cli import log_to_terminal, run_tool, tool_parser
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.common.run_folder import RUNS
from utils.data.cmu import DATASET
from utils.data.dataset import find_root

OURS = ('--data_dir', '--exp', '--seed', '--is_load', '--is_eval', '--ckpt', '--no_test')  # decided here for each run
BASE = 'unchanged'
CHANGES: dict[str, dict[str, Any]] = {
    BASE: {},
    'tcn_coordinates': {'tcn_axis': 'coordinates'},
    'topk_packed': {'topk': 'packed'},
    'topk_off': {'topk': 'off'},
    **{f'without_{part}': {'without': part} for part in opt.PARTS},
    'jps_0': {'jps_weight': 0},
    'jps_10': {'jps_weight': 10},
    'dct_10': {'dct_n': 10},
    'dct_20': {'dct_n': 20},
    'dropout_0': {'dropout': 0},
    'dropout_0.2': {'dropout': 0.2},
    'd_model_x2': {'d_model': 2},
    'd_model_x4': {'d_model': 4},
}
# How many times longer a step takes: these train so many times fewer epochs, and about as long.
COST = {'d_model_x2': 2, 'd_model_x4': 4}


class Plan(NamedTuple):
    """One run: the words of its command, its folder, how many epochs it lacks."""

    words: list[str]
    folder: Path
    epochs_left: int


class Finished(NamedTuple):
    """What a run's checkpoint tells of it."""

    parameters: int
    epochs: int
    minutes: float
    best: dict[str, float]


def parse_arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = tool_parser(__doc__)
    parser.add_argument('data', metavar='DATA', help='dataset root with cmu_mocap/')
    parser.add_argument('--only', metavar='CHANGE', nargs='+', choices=tuple(CHANGES), default=[],
                        help='train these alone, not all of ' + ', '.join(CHANGES))
    parser.add_argument('--seeds', type=opt.at_least(0), nargs='+', default=[0, 1], help='train each with these')
    parser.add_argument('--runs', metavar='DIR', type=Path, default=RUNS / 'ablations', help='where the runs are kept')
    arguments, more = parser.parse_known_args(argv)
    for word in more:
        if word.split('=')[0] in OURS:
            raise InputError(f'{word}: is set for each run by this tool; leave it out')
    find_root(arguments.data, DATASET)
    return arguments, more


def main(argv: Sequence[str] | None) -> None:
    arguments, more = parse_arguments(argv)
    log_to_terminal()
    page = arguments.runs / 'ablations.md'
    plans = [make_plan(name, seed, arguments, more) for seed in arguments.seeds for name in arguments.only or CHANGES]
    for plan in plans:
        if code := utils.run.main(DATASET, DEFAULTS, plan.words) if plan.epochs_left else 0:
            print(f'error: {plan.folder.name}: ended with code {code}; the same command goes on from here', file=sys.stderr)
            raise SystemExit(code)
        write_text(page, table(arguments.runs, arguments.seeds))
    print(page.read_text())
    print(f'written: {page}')


def make_plan(name: str, seed: int, arguments: argparse.Namespace, more: list[str]) -> Plan:
    """What is to be done for one run. InputError if a main would not take it or the folder holds a run of other settings."""
    base = opt.parse(DATASET.name, DATASET.title, DEFAULTS, node_n=DATASET.skeleton.node_n,
                     argv=['--data_dir', arguments.data, *more])
    change = dict(CHANGES[name])
    if 'd_model' in change:
        change['d_model'] *= base.d_model
    folder = (arguments.runs / f'{name}_seed{seed}').resolve()
    epochs = max(1, base.epoch // COST.get(name, 1))
    words = ['--data_dir', arguments.data, *more, '--no_test', '--seed', str(seed), '--exp', str(folder), '--epoch', str(epochs),
             *(f'--{option}={value}' for option, value in change.items())]
    options = opt.parse(DATASET.name, DATASET.title, DEFAULTS, node_n=DATASET.skeleton.node_n, argv=words)
    state = load_if_there(folder)
    if state is None:
        return Plan(words, folder, epochs)
    checkpoint.check_settings(opt.completed(state['options']), vars(options), ('epoch', *opt.SHAPE, *opt.TRAINING), folder)
    return Plan([*words, '--is_load'], folder, epochs - state['epoch'])


def load_if_there(folder: Path) -> checkpoint.Checkpoint | None:
    """The last checkpoint of a run that has begun."""
    return checkpoint.load_last(folder)[0] if (folder / checkpoint.LAST).exists() else None


def table(runs: Path, seeds: Sequence[int]) -> str:
    """Markdown: every change that has a run with an epoch behind it in the folder, beside the unchanged network."""
    found = {name: [read_run(runs / f'{name}_seed{seed}') for seed in seeds] for name in CHANGES}
    rows = [['change', 'parameters', 'epochs', 'minutes', *(f'seed {seed}' for seed in seeds), 'mean', 'against unchanged',
             'acceleration error', 'acceleration'], ['---', *['--:'] * (7 + len(seeds))]]
    for name, of_seeds in found.items():
        done = [run for run in of_seeds if run]
        if not done:
            continue
        pairs = [(run.best['validation'], base.best['validation'])
                 for run, base in zip(of_seeds, found[BASE], strict=True) if run and base]  # of the same seeds
        against = f'{100 * (sum(run for run, _ in pairs) / sum(base for _, base in pairs) - 1):+.1f}%' if pairs else '-'
        error, wrong, own = (mean(run.best[key] for run in done) for key in ('validation', 'acceleration_error', 'acceleration'))
        rows.append([name, f'{done[0].parameters:,}', str(done[0].epochs), f'{mean(run.minutes for run in done):.1f}',
                     *(f'{run.best["validation"]:.2f}' if run else '-' for run in of_seeds), f'{error:.2f}',
                     against, f'{wrong:.2f}', f'{own:.2f}'])
    return ('Validation MPJPE in mm over all predicted frames, at the best epoch of each seed; acceleration error and the '
            'prediction\'s own mean acceleration, in mm/frame², means of the seeds.\n\n'
            + '\n'.join(f'| {" | ".join(row)} |' for row in rows) + '\n')


def read_run(folder: Path) -> Finished | None:
    """What is known of a run, None before its first epoch."""
    state = load_if_there(folder)
    if not state or not state['history']:
        return None
    model = build_network(state['options'])
    return Finished(sum(weights.numel() for weights in model.parameters()), state['epoch'],
                    sum(entry['seconds'] for entry in state['history']) / 60, state['best'])


if __name__ == '__main__':
    sys.exit(run_tool(main))
