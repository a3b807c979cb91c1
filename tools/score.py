"""Write the test windows of a protocol as a file, or score anybody's predictions for them as a run is scored.

The file of windows has no future in it unless asked for. Tables, errors.npz and results.json of predictions
go into a folder that tools/compare.py takes (docs/compare.md).
"""
import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from utils.common import run_folder
from utils.common.cli import at_least, run_tool, tool_parser
from utils.common.errors import InputError
from utils.common.files import open_regular, whole_file
from utils.data.dataset import Dataset, find_root
from utils.data.lookup import DATASETS, dataset_named
from utils.data.marker import is_sample
from utils.data.windows import Windows, build_windows
from utils.evaluate.exchange import Protocol, read_predictions, read_protocol, windows_bytes
from utils.evaluate.methods import score_methods
from utils.evaluate.results import BASELINES, results_of
from utils.report.page import write_all

BATCH = 64  # windows; changes nothing in the results


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('predictions', metavar='PREDICTIONS', type=Path, nargs='?',
                        help='.npz with predicted (W, T_out, J, 3) in mm and the windows\' id (W,); '
                             'without it the file of windows is written')
    parser.add_argument('--windows', metavar='FILE', type=Path, required=True,
                        help='the file of windows, .npz')
    parser.add_argument('--data_dir', required=True,
                        help='dataset root, or the dataset\'s own folder in it')
    parser.add_argument('--allow_missing', action='store_true',
                        help='go on where files of a fixed set are missing')
    scored = parser.add_argument_group('to score predictions')
    scored.add_argument('--name', help='what tables call them (the file\'s name without .npz)')
    scored.add_argument('--out', metavar='DIR', type=Path,
                        help='folder of the tables (checkpoint/NAME)')
    written = parser.add_argument_group('to write windows')
    written.add_argument('--dataset', choices=tuple(DATASETS), default='cmu', help='(cmu)')
    written.add_argument('--input_n', type=at_least(2, most=2000), default=10, help='observed frames (10)')
    written.add_argument('--output_n', type=at_least(3, most=2000), default=10, help='predicted frames (10)')
    written.add_argument('--test_sample_num', type=at_least(-1), choices=(-1, 8, 256), default=-1,
                         help='windows drawn for each action; -1: all (-1)')
    written.add_argument('--with_future', action='store_true', help='write the true future too')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    if arguments.predictions is None:
        protocol = Protocol(arguments.dataset, arguments.input_n, arguments.output_n,
                            arguments.test_sample_num)
    else:
        protocol = read_protocol(arguments.windows)
    dataset = dataset_named(protocol.dataset)
    root = find_root(arguments.data_dir, dataset)
    windows = build_windows(dataset, root, 'test', input_n=protocol.input_n, output_n=protocol.output_n,
                            dct_n=1, skip_rate=1, test_sample_num=protocol.test_sample_num,
                            device=torch.device('cpu'),
                            allow_missing=arguments.allow_missing)
    if arguments.predictions is None:
        if arguments.windows.exists():
            raise InputError(f'--windows {arguments.windows}: is there already; name a new file')
        content = windows_bytes(windows, dataset, protocol, with_future=arguments.with_future)
        with whole_file(arguments.windows) as temporary:
            temporary.write_bytes(content)
        future = f' and {protocol.output_n} true ones' if arguments.with_future else ''
        print(f'{arguments.windows}: {len(windows)} windows of {dataset.title}, {protocol.input_n} observed '
              f'frames{future}')
        return
    print(score(arguments, protocol, dataset, windows, sample=is_sample(root)), end='')


def score(arguments: argparse.Namespace, protocol: Protocol, dataset: Dataset, windows: Windows, *,
          sample: bool) -> str:
    """Scores predictions and both baselines, writes their tables and returns the text."""
    path = arguments.predictions
    name = arguments.name or path.stem
    if not name.isprintable() or len(name) > 100 or '/' in name or name in BASELINES:
        raise InputError(f'--name {name}: take a short name that no baseline has, without /')
    poses, taken = read_predictions(path, windows, dataset), 0
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    folder = arguments.out or run_folder.RUNS / name
    if run_folder.owner(folder) not in (None, digest):
        raise InputError(f'{folder}: holds a run or the tables of other predictions; name a new --out')

    def predict(observed: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        nonlocal taken  # windows are taken in their order
        taken += len(observed)
        return poses[taken - len(observed) : taken]

    scores = score_methods(predict, windows, dataset, batch_size=BATCH)
    drawn = protocol.test_sample_num
    about = {'path': path.name, 'epoch': 0, 'sha256': digest, 'run_id': None}
    results = results_of(windows, dataset, protocol='all' if drawn < 0 else str(drawn), epoch=0,
                         selected_on='', methods=scores.methods, motion=scores.motion, pck=scores.pck,
                         parameters=0, checkpoint=about, sample=sample, network=name)
    with run_folder.tables_lock(folder):
        return write_all(results, folder, scores.of_windows)


if __name__ == '__main__':
    sys.exit(run_tool(main))
