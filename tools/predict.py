"""Predict how a person's own recorded motion goes on: future joint positions in true mm and ms, from a trained checkpoint."""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from utils.common.cli import run_tool, tool_parser
from utils.common.errors import InputError
from utils.data.lookup import dataset_named
from utils.mocap.motion import UNITS_MM
from utils.mocap.motion_files import read_motion
from utils.pictures.scene import Scene
from utils.pictures.show import KINDS, check_kinds, show
from utils.predict.predictor import Forecast, load_predictor, write_forecast


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', type=Path,
                        help='run folder, its name under checkpoint/, a checkpoint file, or an exported .onnx; of '
                             'a folder the best epoch is taken')
    parser.add_argument('motion', metavar='MOTION', type=Path,
                        help='.npy positions (frames, joints, 3), the benchmark\'s .txt, .amc beside its .asf, or .bvh with '
                             'CMU\'s joint names')
    source = parser.add_argument_group('input')
    source.add_argument('--fps', type=float, help='frames per second of MOTION; needed for .npy, else the file\'s or dataset\'s')
    source.add_argument('--units', choices=tuple(UNITS_MM), help='unit of .npy positions, or of a .bvh\'s root for --world; asf '
                                                                 'is the CMU database\'s own, 56.4 mm')
    source.add_argument('--asf', metavar='FILE', type=Path, help='skeleton of an .amc that is not beside it')
    source.add_argument('--last', metavar='FRAME', type=int, default=-1,
                        help='last observed frame of MOTION, from 0; negative from the end')
    result = parser.add_argument_group('output')
    result.add_argument('--out', metavar='FILE', type=Path, action='append', default=[],
                        help='write the future here: .npy (frames, joints, 3) or .csv with time stamps and joint names; '
                             'repeatable')
    result.add_argument('--pictures', metavar='DIR', type=Path,
                        help='draw the prediction into this folder: see tools/visualise.py')
    result.add_argument('--world', action='store_true',
                        help='poses where and as the root is in the last observed frame, instead of root-centred in the body\'s '
                             'frame')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    for out in arguments.out:
        if out.suffix.lower() not in ('.npy', '.csv'):
            raise InputError(f'--out {out}: write .npy or .csv')
        if out.resolve() == arguments.motion.resolve():
            raise InputError(f'--out {out}: is the input, which is never written to')
        if not out.parent.is_dir():
            raise InputError(f'--out {out}: no folder {out.parent}')
    if arguments.pictures:
        check_kinds(list(KINDS))
    predictor = load_predictor(arguments.checkpoint)
    motion = read_motion(arguments.motion, predictor.dataset, fps=arguments.fps, units=arguments.units, asf=arguments.asf)
    try:
        forecast = predictor.forecast(motion, last=arguments.last, world=arguments.world)
    except InputError as error:
        raise InputError(f'{arguments.motion}: {error}') from None
    print(f'{arguments.motion}: {len(motion.body)} frames at {motion.fps:g} fps')
    describe(forecast, predictor.fps)
    if motion.fps < predictor.fps / 2 - 1e-9:
        print(f'note: {motion.fps:g} fps is less than half of {predictor.fps:g}: what is between its frames is guessed')
    for out in arguments.out:
        write_forecast(out, forecast)
        print(f'written: {out}')
    if arguments.pictures:
        title = f'{arguments.motion.name}, after frame {predictor.check_last(motion, arguments.last)}, true mm'
        scene = Scene(arguments.motion.stem, title, dataset_named(predictor.dataset), forecast.observed, forecast.future,
                      forecast.truth)
        for picture in show([scene], arguments.pictures, list(KINDS), fps=10):
            print(f'written: {picture}')
    elif not arguments.out:
        print('nothing written: add --out FILE.csv, --out FILE.npy or --pictures DIR')


def describe(forecast: Forecast, fps: float) -> None:
    """Print times, how far the joints go, and the error where the recording goes on."""
    moved = np.linalg.norm(forecast.future - forecast.observed[-1], axis=-1)  # (T_out, J)
    far = int(moved[-1].argmax())
    print(f'observed {len(forecast.observed)} frames at {fps:g} fps; predicted {len(forecast.future)} more, '
          f'{forecast.future_ms[0]:.1f} to {forecast.future_ms[-1]:.1f} ms ahead (true time)')
    print(f'by then the joints have moved {moved[-1].mean():.0f} mm on average, {forecast.joints[far]} most: '
          f'{moved[-1, far]:.0f} mm')
    if forecast.truth is not None:
        errors = np.linalg.norm(forecast.future - forecast.truth, axis=-1).mean(-1)
        print('the recording goes on: mean error in true mm at '
              + ', '.join(f'{forecast.future_ms[k]:.0f} ms {errors[k]:.1f}' for k in shown(len(errors))))


def shown(frames: int) -> list[int]:
    """Up to five frames spread over the prediction, the last one among them."""
    return sorted({round(share * frames / 5) - 1 for share in range(1, 6)} - {-1})


if __name__ == '__main__':
    sys.exit(run_tool(main))
