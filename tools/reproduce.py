"""Train and evaluate the three datasets at the paper's settings, and write the paper's tables as one page.

Each dataset is trained by its main without options, as the defaults are the paper's settings.
Given again, the command resumes where it stopped: finished runs are only evaluated.
A dataset that fails does not stop the others.
Options of the mains are passed on to all three (--epoch 10, --cuda_idx cpu, --allow_missing, ...).
"""
import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

import main_3dpw
import main_cmu_3d
import main_h36m
from tools.series import PlannedRun, begun_run, do_runs, fail_if_any, plan_run, read_words, refuse_own
from utils.common.cli import log_to_terminal, run_tool, tool_parser
from utils.common.environment import environment
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.common.run_folder import RUNS
from utils.data.dataset import Dataset, find_root, missing_files
from utils.data.marker import is_sample
from utils.report.reproduction import Section, page

log = logging.getLogger('ksof')
MAINS = {main.DATASET.name: main for main in (main_h36m, main_cmu_3d, main_3dpw)}
# Options that this tool sets for each run; without test data there would be no page.
OURS = ('--data_dir', '--exp', '--is_load', '--is_eval', '--ckpt', '--no_test')


def parse_arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = tool_parser(__doc__)
    parser.add_argument('data', metavar='DATA',
                        help='dataset root with h36m/, cmu_mocap/, 3dpw/, or those that there are')
    parser.add_argument('--only', metavar='DATASET', nargs='+', choices=tuple(MAINS), default=list(MAINS),
                        help='leave out the others of h36m, cmu and 3dpw')
    parser.add_argument('--runs', metavar='DIR', type=Path, default=RUNS, help='where the run folders are')
    parser.add_argument('--out', metavar='FILE', type=Path,
                        help='the page (default: reproduce.md beside the run folders)')
    arguments, more = parser.parse_known_args(argv)
    refuse_own(more, OURS, 'dataset')
    if not Path(arguments.data).is_dir():
        raise InputError(f'{arguments.data}: no such folder; DATA comes first, options after it')
    arguments.out = arguments.out or arguments.runs / 'reproduce.md'
    return arguments, more


def main(argv: Sequence[str] | None) -> None:
    arguments, more = parse_arguments(argv)
    log_to_terminal()
    plans: dict[str, PlannedRun] = {}
    sections = {name: section_of(name, None, 'left out with --only') for name in MAINS}
    for name in arguments.only:
        dataset = MAINS[name].DATASET
        try:
            root = find_root(arguments.data, dataset)
        except InputError as error:
            log.warning('%s is skipped: %s', dataset.title, error)
            sections[name] = section_of(name, None, f'not in {arguments.data}')
            continue
        plans[name] = plan_dataset(name, root, arguments, more)  # refuses errors before days of training
        sections[name] = section_of(name, plans[name].folder, 'not yet trained')
    if not plans:
        raise InputError(f'{arguments.data}: none of the datasets is there; '
                         'see docs/data.md for where each goes')
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    words, failed = ['tools/reproduce.py', arguments.data, *more], []
    for plan, code in do_runs(list(plans.values()), evaluate_finished=True):
        name = plan.dataset.name
        failed += [name] if code else []
        sections[name] = section_of(name, plan.folder, 'failed: see the messages of the run' if code else '')
        write_text(arguments.out, page(list(sections.values()), words, more, machine()))
    print(f'written: {arguments.out}')
    fail_if_any(failed, len(plans), 'datasets')


def section_of(name: str, folder: Path | None, why_not: str) -> Section:
    """Makes a dataset's section of the page.

    why_not: why there is nothing to show; empty where there is something.
    """
    return Section(MAINS[name].DATASET, f'{MAINS[name].__name__}.py', folder, why_not)


def machine() -> dict[str, object]:
    """Returns names and versions of what this runs on."""
    return {'GPU': torch.cuda.get_device_name() if torch.cuda.is_available() else 'none',
            **{name: value for name, value in environment().items() if name != 'threads'}}


def plan_dataset(name: str, root: Path, arguments: argparse.Namespace, more: list[str]) -> PlannedRun:
    """Plans the run of one dataset.

    more: options that are passed on to its main.

    Raises InputError if an option is refused, a file is missing or an earlier run does not fit.
    """
    dataset, defaults, sample = MAINS[name].DATASET, MAINS[name].DEFAULTS, is_sample(root)
    words = ['--data_dir', arguments.data, *more]
    settings = read_words(dataset, defaults, words)
    for split in ('train', 'validation', 'test'):
        missing_files(dataset, root, split, allow=settings['allow_missing'])
    folder = (arguments.runs / (settings['exp'] + ('_synthetic' if sample else ''))).resolve()
    plan = plan_run(dataset.title, dataset, defaults, words, folder)
    begun = begun_run(folder)
    if begun and trained_on_sample(begun.settings['data_dir'], dataset) not in (sample, None):
        raise InputError(f'{folder}: was trained on {begun.settings["data_dir"]}; one of that and {root} '
                         'is synthetic motion, the other is not: move that run away')
    return plan


def trained_on_sample(data_dir: str, dataset: Dataset) -> bool | None:
    """Says whether a run was trained on synthetic motion; None if its data is no longer there."""
    try:
        return is_sample(find_root(data_dir, dataset))
    except InputError:
        return None


if __name__ == '__main__':
    sys.exit(run_tool(main))
