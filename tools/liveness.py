"""Show which parts of a trained network are alive.

Prints the share of units that are ever on, how far the gates move, the error without each part, and the share
of each loss term in the gradient.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from model.ksof import KSOF
from utils.build import build_loss, load_windows, open_checkpoint
from utils.common.cli import add_run, at_least, run_tool, tool_parser
from utils.common.errors import InputError
from utils.data.dataset import find_root
from utils.evaluate.liveness import Liveness, look_inside
from utils.evaluate.scoring import validate
from utils.predict.trained import checkpoint_path, trained_of, without_symmetry
from utils.train.shares import gradient_shares


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_run(parser)
    parser.add_argument('--data_dir', help='dataset root (default: the one it was trained on)')
    parser.add_argument('--split', choices=('validation', 'test'), default='validation',
                        help='whose errors are measured')
    parser.add_argument('--windows', type=at_least(2), default=512,
                        help='windows on which units and gates are watched')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    path = checkpoint_path(arguments.run)
    opened = open_checkpoint(path)
    trained, saved = trained_of(opened, path), opened.saved
    network = without_symmetry(trained).model
    if not isinstance(network, KSOF) or network.fusion is None:
        raise InputError(f'{path}: has no SOF, so there is little to look at: '
                         'name a checkpoint made without --without')
    root = find_root(arguments.data_dir or trained.settings['data_dir'], trained.dataset)
    windows = load_windows(trained.settings, root, arguments.split, torch.device('cpu'))
    watched = windows.batch(torch.linspace(0, len(windows) - 1, min(arguments.windows, len(windows))).long())

    def error() -> float:
        return validate(trained.model, windows, trained.dataset.skeleton, batch_size=256)['validation']

    found = look_inside(network, watched, error)
    shares = {}
    if 'criterion' in saved:
        criterion = build_loss(trained.settings)
        criterion.load_state_dict(saved['criterion'])
        shares = gradient_shares(network, criterion, watched)
    seen = ' that it was trained on' if trained.settings['refit'] and arguments.split == 'validation' else ''
    print(table(found, shares, f'{path}, epoch {trained.epoch}, {len(windows)} {arguments.split} '
                               f'windows{seen}'))


def table(found: Liveness, shares: dict[str, float], title: str) -> str:
    """Returns the findings as lines of text."""
    lines = [title, '', f'MPJPE over all frames {found.errors["whole"]:.2f} mm; without']
    lines += [f'  {part:<20} {error:8.2f} mm  {100 * found.cost(part):+6.2f}%'
              for part, error in found.errors.items() if part != 'whole']
    lines += ['', f'SOF corrects by {found.correction_mm:.2f} mm; '
              f'the predicted displacement is {found.displacement_mm:.2f} mm']
    lines += [f'gate of the {path}: mean {mean:.3f}, spread over windows {spread:.3f}'
              for path, (mean, spread) in found.gates.items()]
    lines += ['', 'share of units that are ever on']
    groups: dict[str, list[float]] = {}
    for layer, share in found.units.items():
        groups.setdefault('.'.join(layer.split('.')[:2]), []).append(share)
    lines += [f'  {group:<20} {100 * min(of_group):6.1f}%'
              + (f' to {100 * max(of_group):.1f}%' if len(of_group) > 1 else '')
              for group, of_group in groups.items()]
    if shares:
        lines += ['', "gradient of each loss term, share of the norms' sum"]
        lines += [f'  {name.removeprefix("share_"):<20} {100 * share:6.2f}%'
                  for name, share in shares.items()]
    dead = found.dead()
    return '\n'.join([*lines, '', *(f'DEAD  {line}' for line in dead),
                      'every part lives' if not dead else ''])


if __name__ == '__main__':
    sys.exit(run_tool(main))
