"""Check this project on a GPU and write a report that can be sent: make gpu.

Runs the tests that need CUDA.
Then trains one epoch at each dataset's settings on synthetic motion: plain, with --tf32, --amp and --compile,
and with two processes where there are two GPUs.
The report compares their errors and tells windows/s, memory and the values for which the CPU waits.
Without a GPU a narrow network trains a few steps on the CPU; what needs CUDA is marked as not run.
"""
import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from tools.benchmark import settings
from utils.common.cli import log_to_terminal, run_tool, tool_parser
from utils.common.device import choose_device
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.data.dataset import find_root
from utils.data.lookup import DATASETS
from utils.data.synthetic import files as synthetic
from utils.speed import gpu
from utils.speed.machine import describe_machine
from utils.train.engine import LOG_EVERY

log = logging.getLogger('ksof')
SMALL = ['--num_gcn', '1', '--batch_size', '4', '--d_model', '1']


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--cuda_idx', default='cuda:0', help='device: cuda:0, cuda:1 or cpu')
    parser.add_argument('--dataset', nargs='+', choices=tuple(DATASETS), default=list(DATASETS),
                        help='lines of these')
    parser.add_argument('--out', metavar='FILE', type=Path,
                        help='write the report here (default: gpu_check_DATE_TIME.md in the current folder)')
    arguments = parser.parse_args(argv)
    arguments.out = arguments.out or Path(f'gpu_check_{datetime.now():%Y%m%d_%H%M%S}.md')
    if not arguments.out.parent.is_dir():
        raise InputError(f'--out {arguments.out}: no folder {arguments.out.parent}')
    return arguments


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    log_to_terminal()
    device = choose_device(arguments.cuda_idx)
    small = device.type != 'cuda'
    more = ['--dropout', '0', '--allow_missing', *(SMALL if small else [])]
    log.info('running the CUDA tests')
    checks = [gpu.check_tests(device)]
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.dataset:
            log.info('%s: training on synthetic motion', name)
            synthetic.write(name, Path(folder))
            root = find_root(folder, DATASETS[name])
            steps = LOG_EVERY + 2 if small else None
            checks += gpu.check_dataset(settings(name, 16, more), root, device, steps)
        log.info('two processes')
        words = ['main_cmu_3d.py', '--data_dir', folder, '--dropout', '0', '--batch_size', '16', '--no_test']
        gpus = torch.cuda.device_count() if 'cmu' in arguments.dataset else 0
        checks.append(gpu.check_two_processes(words, Path(folder), gpus))
    text = gpu.report(describe_machine(device) | gpu.cuda_facts(), checks, small=small)
    print(text)
    write_text(arguments.out, text)
    print(f'written: {arguments.out}')
    if any(check.status == gpu.FAILED for check in checks):
        raise SystemExit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
