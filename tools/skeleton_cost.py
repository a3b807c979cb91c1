"""Measure what another skeleton costs.

CMU test files are turned into each, predicted, and compared with the files themselves.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.common.cli import at_least, run_tool, tool_parser
from utils.common.errors import InputError
from utils.data.cmu import DATASET
from utils.data.dataset import find_root
from utils.data.skeleton import CMU
from utils.predict.cost import measure
from utils.predict.predictor import load_predictor

SKELETONS = ('cmu', 'mixamo', 'humanik', 'rokoko', 'lafan1', 'bandai', 'smpl24', 'smpl22', 'h36m17', 'coco17')
LABELS = (80, 160, 320, 400, 1000)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', type=Path,
                        help='run folder or its name under checkpoint/')
    parser.add_argument('data_dir', metavar='DATA', help='folder that holds cmu_mocap')
    parser.add_argument('--every', type=at_least(1), default=40,
                        help='take every so many recorded frames one window')
    parser.add_argument('--frames', type=at_least(1),
                        help='predict so many; beyond the model\'s own number the prediction is fed back')
    parser.add_argument('--direct', action='store_true', help='measure the files themselves alone')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    predictor = load_predictor(arguments.checkpoint)
    if predictor.dataset != 'cmu':
        raise InputError(f'{arguments.checkpoint}: is a {predictor.dataset} model; the skeletons are '
                         f'measured on CMU')
    root = find_root(arguments.data_dir, DATASET)
    files = sorted((root / 'test').glob('*/*_1.txt'))
    frames = arguments.frames or predictor.output_n
    errors = measure(predictor, files, [] if arguments.direct else list(SKELETONS), every=arguments.every,
                     frames=frames)
    known = CMU.label_ms(frames)
    columns = [label for label in LABELS if label in known]
    print(f'{len(files)} test files, {errors["direct"].windows} windows; the field\'s mm at its labels, over '
          'the joints that a')
    print('skeleton has; in brackets the files themselves over the same joints')
    print('| skeleton | joints | ' + ' | '.join(f'{label} ms' for label in columns)
          + f' | standing still, {columns[-1]} ms |')
    print('|---|' + '---|' * (len(columns) + 2))
    for name, cost in errors.items():
        places = [known.index(label) for label in columns]
        cells = [f'{cost.predicted[k]:.1f} ({cost.direct[k]:.1f})' for k in places]
        cells.append(f'{cost.standing_still[places[-1]]:.1f}')
        print(f'| {name} | {cost.joints} | {" | ".join(cells)} |')


if __name__ == '__main__':
    sys.exit(run_tool(main))
