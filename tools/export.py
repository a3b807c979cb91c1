"""Write a trained network as one file that runs without this project: .pt2 of torch.export, or .onnx.

Each file is checked against the network.
An .onnx can be given to tools/predict.py, tools/visualise.py and load_predictor in place of the run.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.common.cli import add_run, run_tool, tool_parser
from utils.common.errors import InputError
from utils.predict import export
from utils.predict.exported import SETTINGS
from utils.predict.trained import checkpoint_path, load_trained, without_symmetry

KINDS = {'.pt2': (export.write_program, export.program_runner),
         '.onnx': (export.write_onnx, export.onnx_runner)}
# Sums in another order differ by thousandths of a mm, and of two nearly equal responses TOP-K may choose the
# other one. A graph that is wrong is off by more.
TOLERANCE_MM = 0.5


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_run(parser)
    parser.add_argument('--out', metavar='FILE', type=Path, action='append', required=True,
                        help='write the network here: .pt2 or .onnx; repeatable')
    parser.add_argument('--symmetry', choices=('off',),
                        help='leave the mirror image out where the run averages over it: half the time, less '
                             'accuracy')
    arguments = parser.parse_args(argv)
    for out in arguments.out:
        if out.suffix.lower() not in KINDS:
            raise InputError(f'--out {out}: write .pt2 or .onnx')
        if not out.parent.is_dir():
            raise InputError(f'--out {out}: no folder {out.parent}')
        if out.suffix.lower() == '.onnx':
            export.require_onnx()
    return arguments


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    path = checkpoint_path(arguments.run)
    if path.suffix.lower() in KINDS:
        raise InputError(f'{path}: is exported already; give the run or checkpoint that it was made of')
    trained = load_trained(path)
    trained.model(export.poses(trained, 1))  # refused, before a file is written, where it is not finite
    if arguments.symmetry:
        trained = without_symmetry(trained)
    about = export.description(trained)
    print('\n'.join(f'{name}: {value if isinstance(value, str) else f"{value:g}"}'
                    for name, value in about.items() if name not in ('joints', SETTINGS)))
    program = export.export_program(trained)
    for out in arguments.out:
        write, runner = KINDS[out.suffix.lower()]
        write(out, program, about)
        difference = export.largest_difference(runner(out), trained)
        if not difference < TOLERANCE_MM:
            raise InputError(f'{out}: is written, but it is {difference:.3g} mm off the network on random '
                             'poses: do not use it')
        size = out.stat().st_size / 1e6
        print(f'written: {out}, {size:.1f} MB, at most {difference:.2g} mm off the network in 36 random '
              'windows')


if __name__ == '__main__':
    sys.exit(run_tool(main))
