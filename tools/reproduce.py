"""Train and evaluate the three datasets at the paper's settings, one after another, and write the paper's tables as one page.

Given again, the command goes on where it stopped: finished runs are only evaluated. Options of the mains are passed on to all
three (--epoch 10, --cuda_idx cpu, --allow_missing, ...).
"""
import argparse
import logging
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import opt
import utils.run
from utils.common import checkpoint
from utils.common.cli import log_to_terminal, run_tool, tool_parser
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.common.run_folder import RUNS
from utils.data.dataset import Dataset, find_root, missing_files
from utils.data.lookup import DATASETS
from utils.data.marker import is_sample
from utils.report import paper
from utils.report.reproduction import Section, page

log = logging.getLogger('ksof')
OURS = ('--data_dir', '--exp', '--is_load', '--is_eval', '--ckpt')  # decided here for each run


@dataclass(frozen=True)
class Plan:
    """One dataset's run: its options, the words that give them, and whether it has begun or is done."""

    reader: Dataset
    words: list[str]
    folder: Path
    begun: bool
    done: bool


def parse_arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = tool_parser(__doc__)
    parser.add_argument('data', metavar='DATA', help='dataset root with h36m/, cmu_mocap/, 3dpw/, or those that there are')
    parser.add_argument('--only', metavar='DATASET', nargs='+', choices=tuple(DATASETS), default=list(DATASETS),
                        help='leave out the others of h36m, cmu and 3dpw')
    parser.add_argument('--runs', metavar='DIR', type=Path, default=RUNS, help='where the run folders are')
    parser.add_argument('--out', metavar='FILE', type=Path, help='the page (default: reproduce.md beside the run folders)')
    arguments, more = parser.parse_known_args(argv)
    for word in more:
        if word.split('=')[0] in OURS:
            raise InputError(f'{word}: is set for each dataset by this tool; leave it out')
    if not Path(arguments.data).is_dir():
        raise InputError(f'{arguments.data}: no such folder; DATA comes first, options after it')
    arguments.out = arguments.out or arguments.runs / 'reproduce.md'
    return arguments, more


def main(argv: Sequence[str] | None) -> None:
    arguments, more = parse_arguments(argv)
    log_to_terminal()
    plans: dict[str, Plan] = {}
    sections = {name: Section(DATASETS[name], None, 'left out with --only') for name in DATASETS}
    for name in arguments.only:
        try:
            root = find_root(arguments.data, DATASETS[name])
        except InputError as error:
            log.warning('%s is skipped: %s', DATASETS[name].title, error)
            sections[name] = Section(DATASETS[name], None, f'not in {arguments.data}')
            continue
        plans[name] = make_plan(name, root, arguments, more)  # whatever can be seen to be wrong is, before days of training
        sections[name] = Section(DATASETS[name], plans[name].folder, 'not yet trained')
    if not plans:
        raise InputError(f'{arguments.data}: none of the datasets is there; see docs/data.md for where each goes')
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, plan in plans.items():
        code = reproduce(plan)
        sections[name] = Section(plan.reader, plan.folder, '' if code == 0 else 'failed: see the messages of the run')
        if code >= 128:  # a signal
            print('stopped: the same command goes on from here', file=sys.stderr)
            raise SystemExit(code)
        failed += [name] if code else []
        write_text(arguments.out, page(list(sections.values()), arguments.data, more))
    print(f'written: {arguments.out}')
    if failed:
        print(f'error: {len(failed)} of {len(plans)} datasets failed: {", ".join(failed)}', file=sys.stderr)
        raise SystemExit(1)


def make_plan(name: str, root: Path, arguments: argparse.Namespace, more: list[str]) -> Plan:
    """What is to be done for one dataset. InputError if an option, a missing file or an earlier run stands against it."""
    reader, sample = DATASETS[name], is_sample(root)
    words = [*paper.command(name, arguments.data)[1:], *more]
    options = opt.parse(reader.name, reader.title, {}, node_n=reader.skeleton.node_n, argv=words)
    folder = (arguments.runs / (options.exp + ('_sample' if sample else ''))).resolve()
    for split in ('train', 'validation', 'test'):
        missing_files(reader, root, split, allow=options.allow_missing)
    begun = (folder / checkpoint.LAST).exists()
    done = False
    if begun:
        state, path = checkpoint.load_last(folder)
        checkpoint.check_settings(opt.completed(state['options']), vars(options), ('epoch', *opt.SHAPE, *opt.TRAINING), path)
        if trained_on_sample(state, reader) not in (sample, None):
            raise InputError(f'{path}: was trained on {state["options"]["data_dir"]}; one of that and {root} is sample motion, '
                             'the other is not: move that run away')
        done = state['epoch'] >= options.epoch
    return Plan(reader, [*words, '--exp', str(folder)], folder, begun, done)


def trained_on_sample(state: checkpoint.Checkpoint, reader: Dataset) -> bool | None:
    """Whether a run was trained on sample motion, None if its data is no longer there to see."""
    try:
        return is_sample(find_root(state['options'].get('data_dir', ''), reader))
    except InputError:
        return None


def reproduce(plan: Plan) -> int:
    """Train, go on training, or only evaluate; the main's exit code. What nobody foresaw must not stop the other datasets."""
    step = ['--is_eval'] if plan.done else ['--is_load'] if plan.begun else []
    log.info('%s: %s', plan.reader.title, 'evaluating' if plan.done else 'going on' if plan.begun else 'training')
    try:
        return utils.run.main(plan.reader, {}, [*plan.words, *step])
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == '__main__':
    sys.exit(run_tool(main))
