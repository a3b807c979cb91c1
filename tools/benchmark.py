"""Measure training, evaluation, latency, loading and memory at the paper's settings, and the machine itself.

Options of the mains are passed on (--dropout 0, --tcn_axis coordinates, ...).
The motion is synthetic; no dataset is needed.
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

os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # hides the profiler's messages; torch reads it at import

import torch

import main_3dpw
import main_cmu_3d
import main_h36m
from opt import parse
from utils.build import Settings
from utils.common.cli import at_least, log_to_terminal, run_tool, tool_parser
from utils.common.device import choose_device
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.data.dataset import find_root
from utils.data.lookup import DATASETS
from utils.data.synthetic import files as synthetic
from utils.predict import export
from utils.predict.exported import ExportedNetwork
from utils.predict.trained import checkpoint_path, load_trained, without_symmetry
from utils.speed.machine import describe_machine, measure_loading
from utils.speed.measure import FULL, QUICK, latency, measure
from utils.speed.tables import Figures, tables

log = logging.getLogger('ksof')
DEFAULTS = {main.DATASET.name: main.DEFAULTS for main in (main_h36m, main_cmu_3d, main_3dpw)}
RELEASED = ('cmu_short', 'cmu_long')


def settings(name: str, d_model: int, more: Sequence[str]) -> Settings:
    """Returns the settings of a dataset's main at the paper's values, with this width and these options."""
    dataset, words = DATASETS[name], ['--data_dir', '.', '--d_model', str(d_model), *more]
    return vars(parse(name, dataset.title, DEFAULTS[name], node_n=dataset.skeleton.node_n, argv=words))


def parse_arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = tool_parser(__doc__)
    parser.add_argument('--cuda_idx', default='cpu', help='device: cpu, cuda:0, cuda:1 or mps')
    parser.add_argument('--dataset', nargs='+', choices=tuple(DATASETS), default=list(DATASETS),
                        help='settings of these')
    parser.add_argument('--d_model', type=at_least(1, most=1024), nargs='+', default=[8, 16],
                        help='widths; the paper\'s is 16')
    parser.add_argument('--data_dir',
                        help='measure loading on this dataset root instead of synthetic motion made for it')
    parser.add_argument('--network', metavar='RUN', nargs='*', type=Path,
                        help='trained networks whose latency is measured, by torch and, where it is '
                             f'installed, by onnxruntime (default: {" ".join(RELEASED)}; none with --quick)')
    parser.add_argument('--out', metavar='FILE', type=Path, help='write all figures here, as JSON')
    parser.add_argument('--quick', action='store_true',
                        help='see that everything works; the figures are worth nothing')
    arguments, more = parser.parse_known_args(argv)
    if arguments.network is None:
        arguments.network = [] if arguments.quick else [Path(name) for name in RELEASED]
    if arguments.out and not arguments.out.parent.is_dir():
        raise InputError(f'--out {arguments.out}: no folder {arguments.out.parent}')
    for dataset in arguments.dataset:
        settings(dataset, arguments.d_model[0], more)  # refuses a wrong option before anything is measured
    return arguments, more


def main(argv: Sequence[str] | None) -> None:
    arguments, more = parse_arguments(argv)
    log_to_terminal()
    figures = measure_all(arguments, more)
    print(tables(figures))
    if arguments.out:
        write_text(arguments.out, json.dumps(figures, indent=1) + '\n')
        print(f'\nwritten: {arguments.out}')


def measure_all(arguments: argparse.Namespace, more: list[str]) -> Figures:
    """Measures everything that is asked for."""
    device, effort = choose_device(arguments.cuda_idx), QUICK if arguments.quick else FULL
    measured = []
    for d_model in sorted(arguments.d_model):  # small first: a process keeps memory, so its peak never falls
        for dataset in arguments.dataset:
            log.info('measuring %s, d_model %d', dataset, d_model)
            measured.append(measure(settings(dataset, d_model, more), device, effort))
    peak = max(product['flop_per_s'] for entry in measured for product in entry['products'].values())
    networks = [row for run in arguments.network for row in measure_network(run, effort.seconds)]
    log.info('measuring loading')
    if arguments.data_dir:
        loading = measure_loadings(arguments.data_dir, arguments, more, device)
    else:
        with tempfile.TemporaryDirectory() as folder:
            for name in arguments.dataset:
                synthetic.write(name, Path(folder))
            loading = measure_loadings(folder, arguments, more, device)
    return {'machine': describe_machine(device), 'command': ' '.join(sys.argv[1:]), 'quick': arguments.quick,
            'peak_flop_per_s': peak, 'settings': measured, 'networks': networks, 'loading': loading}


def measure_network(run: Path, seconds: float) -> list[Figures]:
    """Measures a trained network's latency on the CPU, without and with the average over the mirror image."""
    log.info('measuring the latency of %s', run)
    trained = load_trained(checkpoint_path(run))
    whole = [trained] if trained.settings['symmetry'] == 'average' else []
    found = []
    for own in [without_symmetry(trained), *whole]:
        observed = export.poses(own, 1)
        row = {'network': str(run), 'symmetry': own is trained and bool(whole),
               'torch': latency(own.model, observed, seconds=seconds), 'onnxruntime': None}
        if export.can_export_onnx():
            content = export.onnx_content(export.export_program(own), export.description(own))
            row['onnxruntime'] = latency(ExportedNetwork(content, threads=1), observed, seconds=seconds)
        found.append(row)
    return found


def measure_loadings(data_dir: str, arguments: argparse.Namespace, more: list[str],
                     device: torch.device) -> list[Figures]:
    """Measures the loading of those of the chosen datasets that are there.

    Raises InputError if none of them is there.
    """
    roots, missing = {}, None
    for name in arguments.dataset:
        try:
            roots[name] = find_root(data_dir, DATASETS[name])
        except InputError as error:
            missing = error
    if missing and not roots:
        raise missing
    level = log.level
    log.setLevel(logging.ERROR)  # loading reports each split, and it is repeated here
    try:
        words = [*more, '--allow_missing']
        return [measure_loading(settings(name, arguments.d_model[0], words), root, device,
                                repeats=2 if arguments.quick else 3) for name, root in roots.items()]
    finally:
        log.setLevel(level)


if __name__ == '__main__':
    sys.exit(run_tool(main))
