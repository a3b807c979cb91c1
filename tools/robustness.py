"""Measure a trained network on test windows that are spoilt or moved, beside zero and constant velocity.

Noise on joints, lost joints and frames, a body turned, tilted or of another size, half the frame rate.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from model.baselines import ConstantVelocity, ZeroVelocity
from utils.build import load_windows
from utils.common.cli import add_run, at_least, run_tool, tool_parser
from utils.common.figures import MISSING
from utils.common.files import write_text
from utils.data.dataset import find_root
from utils.data.marker import is_sample
from utils.evaluate.results import BASELINES, NETWORK
from utils.evaluate.robustness import Predict, conditions, errors_under, every
from utils.predict.trained import checkpoint_path, load_trained
from utils.report import tables
from utils.report.robustness import Measured, draw_robustness, robustness_blocks


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_run(parser)
    parser.add_argument('--data_dir', required=True,
                        help='dataset root, or the dataset\'s own folder in it')
    parser.add_argument('--every', type=at_least(1), default=1, help='take each so many-th window (1)')
    parser.add_argument('--batch_size', type=at_least(1), default=64, help='windows predicted at once (64)')
    parser.add_argument('--out', metavar='DIR', type=Path,
                        help='write robustness.md and robustness.png there')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    path = checkpoint_path(arguments.run)
    trained = load_trained(path)
    dataset, output_n = trained.dataset, trained.settings['output_n']
    root = find_root(arguments.data_dir, dataset)
    windows = load_windows(trained.settings, root, 'test', torch.device('cpu'))
    chosen = every(windows, arguments.every)
    methods: dict[str, Predict] = {NETWORK: lambda observed: trained.model(observed).fused,
                                   BASELINES[0]: ZeroVelocity(output_n),
                                   BASELINES[1]: ConstantVelocity(output_n)}
    measured = [Measured(condition.kind, condition.level,
                         errors_under(condition, methods, dataset.skeleton, batch_size=arguments.batch_size))
                for condition in conditions(chosen)]
    name = path.resolve().parent.name
    said = f'{len(chosen)} of {len(windows)} test windows' + (', synthetic motion' if is_sample(root) else '')
    page = robustness_blocks(name, dataset, output_n, measured, windows=said)
    print(tables.terminal(page), end='')
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_text(arguments.out / 'robustness.md', tables.markdown(page))
        try:
            draw_robustness(name, dataset, output_n, measured, arguments.out / 'robustness.png')
        except ImportError:
            print(f'no robustness.png: {MISSING} (pip install matplotlib)', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(run_tool(main))
