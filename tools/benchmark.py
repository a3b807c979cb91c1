"""Measure training, evaluation, latency, loading and memory at the paper's settings, beside what the machine can do at all.

Options of the mains are passed on (--dropout 0, --tcn_axis coordinates, ...). Motion is invented; no dataset is needed.
"""
import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # the profiler's own messages; it reads this when torch is loaded

import torch

from opt import at_least
from utils.common.cli import run_tool, tool_parser
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.data.dataset import Dataset
from utils.data.lookup import DATASETS
from utils.data.synthetic import files as synthetic
from utils.run import choose_device, log_to_terminal
from utils.speed.machine import FULL, QUICK, Effort, describe_machine, measure_loading, roots
from utils.speed.measure import measure, settings
from utils.speed.scaling import plan
from utils.speed.tables import Figures, tables

log = logging.getLogger('ksof')


def parse_arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = tool_parser(__doc__)
    parser.add_argument('--cuda_idx', default='cpu', help='device: cpu, cuda:0, cuda:1 or mps')
    parser.add_argument('--dataset', nargs='+', choices=tuple(DATASETS), default=list(DATASETS), help='settings of these')
    parser.add_argument('--d_model', type=at_least(1, most=1024), nargs='+', default=[8, 16], help='widths; the paper\'s is 16')
    parser.add_argument('--data_dir', help='measure loading on this dataset root instead of sample motion made for it')
    parser.add_argument('--out', metavar='FILE', type=Path, help='write all figures here, as JSON')
    parser.add_argument('--quick', action='store_true', help='see that everything works; the figures are worth nothing')
    parser.add_argument('--plan', action='store_true',
                        help='measure nothing; compute what several GPUs would take, as in docs/performance.md')
    arguments, more = parser.parse_known_args(argv)
    if arguments.out and not arguments.out.parent.is_dir():
        raise InputError(f'--out {arguments.out}: no folder {arguments.out.parent}')
    for dataset in arguments.dataset:
        settings(dataset, arguments.d_model[0], more)  # what is wrong with an option shows now
    return arguments, more


def main(argv: Sequence[str] | None) -> None:
    arguments, more = parse_arguments(argv)
    log_to_terminal()
    if arguments.plan:
        print(plan(arguments.dataset, arguments.d_model[-1], more))
        return
    figures = measure_all(arguments, more)
    print(tables(figures))
    if arguments.out:
        write_text(arguments.out, json.dumps(figures, indent=1) + '\n')
        print(f'\nwritten: {arguments.out}')


def measure_all(arguments: argparse.Namespace, more: list[str]) -> Figures:
    """Everything that is asked for."""
    device, effort = choose_device(arguments.cuda_idx), QUICK if arguments.quick else FULL
    measured = []
    for d_model in sorted(arguments.d_model):  # small ones first: memory that is kept for reuse must not count for the others
        for dataset in arguments.dataset:
            log.info('measuring %s, d_model %d', dataset, d_model)
            measured.append(measure(dataset, d_model, more, device, effort))
    peak = max(product['flop_per_s'] for entry in measured for product in entry['products'].values())
    log.info('measuring loading')
    loading = measure_loadings(arguments, more, device, effort)
    return {'machine': describe_machine(device), 'command': ' '.join(sys.argv[1:]), 'quick': arguments.quick,
            'peak_flop_per_s': peak, 'settings': measured, 'loading': loading}


def measure_loadings(arguments: argparse.Namespace, more: list[str], device: torch.device, effort: Effort) -> list[Figures]:
    """Loading of the user's datasets, or of samples made in a temporary folder."""
    def load(reader: Dataset, root: Path) -> Figures:
        options = settings(reader.name, arguments.d_model[0], [*more, '--allow_missing'])
        level = log.level
        log.setLevel(logging.ERROR)  # what a split consists of is not news here
        try:
            return measure_loading(reader, root, options, device, effort)
        finally:
            log.setLevel(level)

    if arguments.data_dir:
        return [load(DATASETS[name], root) for name, root in roots(arguments.data_dir, arguments.dataset).items()]
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.dataset:
            synthetic.write(name, Path(folder))
        return [load(DATASETS[name], root) for name, root in roots(folder, arguments.dataset).items()]


if __name__ == '__main__':
    sys.exit(run_tool(main))
