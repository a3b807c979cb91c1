"""Draw what a trained network predicts for windows of a test split.

Makes a film strip, an animation, plots of the errors, and a page on which a browser turns the skeletons.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from utils.build import load_windows
from utils.common.cli import at_least, log_to_terminal, run_tool, tool_parser
from utils.common.device import choose_device
from utils.common.errors import InputError
from utils.data.dataset import find_root
from utils.data.marker import is_sample
from utils.data.windows import Windows
from utils.evaluate.scoring import evaluate
from utils.pictures.scene import Scene, choose, scenes_of
from utils.pictures.show import KINDS, check_kinds, show
from utils.predict.trained import Trained, checkpoint_path, load_trained
from utils.report.tables import Table, aligned_table


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('run', metavar='RUN', type=Path,
                        help='run folder, its name under checkpoint/, a checkpoint file, or an exported '
                             '.onnx; of a folder the best epoch is shown')
    windows = parser.add_argument_group('windows of the test split')
    windows.add_argument('--data_dir', required=True, help='dataset root, or the dataset\'s own folder in it')
    which = windows.add_mutually_exclusive_group(required=True)
    which.add_argument('--window', metavar='N', type=at_least(0, most=10**9), nargs='+',
                       help='these, counted from 0')
    which.add_argument('--worst', metavar='COUNT', type=at_least(1, most=1000),
                       help='those with the largest error, mean over all predicted frames, each of another '
                            'recording')
    which.add_argument('--best', metavar='COUNT', type=at_least(1, most=1000),
                       help='those with the smallest error')
    which.add_argument('--random', metavar='COUNT', type=at_least(1, most=1000), help='drawn with --seed')
    windows.add_argument('--same_recording', action='store_true',
                         help='let --worst, --best and --random take several windows of one recording; no '
                              'two share a frame')
    windows.add_argument('--action', metavar='NAME', help='only windows of this action (not with --window)')
    windows.add_argument('--seed', type=at_least(0, most=2**31), default=0, help='of --random')
    windows.add_argument('--test_sample_num', type=at_least(-1), choices=(-1, 8, 256), default=-1,
                         help='windows to count and choose from: -1 all, else those of the 8- and 256-window '
                              'protocols')
    windows.add_argument('--allow_missing', action='store_true',
                         help='go on without files of a fixed set that are missing')
    result = parser.add_argument_group('output')
    result.add_argument('--out', metavar='DIR', type=Path,
                        help='folder to write to (default: pictures/ beside the checkpoint)')
    result.add_argument('--make', choices=KINDS, metavar='KIND', nargs='+',
                        help='; '.join(f'{kind}: {what}' for kind, what in KINDS.items()) + ' (default: all)')
    result.add_argument('--fps', type=at_least(1, float, most=50), default=10.0,
                        help='frames a second of the animation')
    work = parser.add_argument_group('work')
    work.add_argument('--cuda_idx', default='cpu', help='device: cuda:0, mps or cpu')
    work.add_argument('--test_batch_size', type=at_least(1), default=64,
                      help='windows at once; changes speed and memory only')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    log_to_terminal()
    if arguments.action and arguments.window is not None:
        raise InputError('--action chooses among windows, --window names them: give one of them')
    kinds = arguments.make or list(KINDS)
    check_kinds(kinds)
    path = checkpoint_path(arguments.run)
    trained, device = load_trained(path), choose_device(arguments.cuda_idx)
    trained.model.to(device)
    root = find_root(arguments.data_dir, trained.dataset)
    protocol = {'test_sample_num': arguments.test_sample_num, 'allow_missing': arguments.allow_missing}
    windows = load_windows(trained.settings | protocol, root, 'test', device)
    indices = chosen_windows(arguments, trained, windows)
    scenes = scenes_of(trained, windows, indices, run=path.resolve().parent.name,
                       note='synthetic motion' if is_sample(root) else '')
    print_errors(scenes, indices)
    for file in show(scenes, arguments.out or path.parent / 'pictures', kinds, fps=arguments.fps):
        print(f'written: {file}')


def chosen_windows(arguments: argparse.Namespace, trained: Trained, windows: Windows) -> list[int]:
    """Returns the indices of the windows to draw. Raises InputError if a window or an action is not there."""
    if arguments.window is not None:
        for index in arguments.window:
            if index >= len(windows):
                raise InputError(f'--window {index}: the test split has windows 0 to {len(windows) - 1}')
        return list(dict.fromkeys(arguments.window))
    allowed = None
    if arguments.action:
        if arguments.action not in windows.counts():
            raise InputError(f'--action {arguments.action}: the test split has {", ".join(windows.counts())}')
        allowed = windows.action_index == windows.actions.index(arguments.action)
    if arguments.random:
        order = torch.rand(len(windows), generator=torch.Generator().manual_seed(arguments.seed))
        return choose(order, windows, arguments.random, worst=True, allowed=allowed,
                      same_recording=arguments.same_recording)
    errors = window_errors(trained, windows, arguments.test_batch_size)
    return choose(errors, windows, arguments.worst or arguments.best, worst=bool(arguments.worst),
                  allowed=allowed, same_recording=arguments.same_recording)


def window_errors(trained: Trained, windows: Windows, batch_size: int) -> Tensor:
    """Scores each window; returns the (W,) MPJPE over all joints and predicted frames, in mm."""
    errors = evaluate(lambda *views: trained.model(*views).fused, windows, trained.dataset.skeleton,
                      batch_size=batch_size, title='scoring windows')
    return errors.all_joints.mean(1)


def print_errors(scenes: list[Scene], indices: list[int]) -> None:
    """Prints a table of each window's error on average and at the field's labels."""
    frames = scenes[0].table_frames
    labels, times = scenes[0].label_ms, scenes[0].true_ms
    cells = [['MPJPE in mm at label ms', 'window', *(str(labels[f]) for f in frames), 'mean']]
    if labels != [round(time) for time in times]:
        cells.append(['true ms', '', *(f'{times[f]:.0f}' for f in frames), ''])
    for scene, index in zip(scenes, indices, strict=True):
        if (errors := scene.mpjpe) is not None:
            cells.append([scene.title, str(index), *(f'{errors[f]:.2f}' for f in frames),
                          f'{errors.mean():.2f}'])
    print(aligned_table(Table(cells, names=2)))


if __name__ == '__main__':
    sys.exit(run_tool(main))
