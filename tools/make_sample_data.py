"""Make datasets of synthetic motion, to run every command without the recordings."""
import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.common.cli import at_least, run_tool, tool_parser
from utils.common.errors import InputError
from utils.data.lookup import DATASETS
from utils.data.synthetic import files as synthetic


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('root', metavar='DIR', type=Path,
                        help='folder for the dataset folders h36m, cmu_mocap, 3dpw')
    parser.add_argument('--dataset', choices=(*DATASETS, 'all'), default='all', help='which to make')
    parser.add_argument('--seed', type=at_least(0), default=0, help='one seed makes the same files')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    for name in DATASETS if arguments.dataset == 'all' else (arguments.dataset,):
        started = time.perf_counter()
        try:
            files = synthetic.write(name, arguments.root, arguments.seed)
        except ValueError as error:
            raise InputError(str(error)) from None
        seconds = sum(files.values()) / DATASETS[name].skeleton.raw_fps
        print(f'{name}: {len(files)} files, {sum(files.values())} frames ({seconds:.0f} s of motion), '
              f'made in {time.perf_counter() - started:.1f} s')


if __name__ == '__main__':
    sys.exit(run_tool(main))
