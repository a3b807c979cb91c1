"""Predict how a person's own recorded motion goes on, from a trained checkpoint.

Future joint positions are in true mm, their times in ms.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from utils.common.cli import at_least, run_tool, tool_parser
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.data.lookup import dataset_named
from utils.mocap.axes import UP
from utils.mocap.motion import UNITS_MM, Motion
from utils.mocap.motion_files import read_motion
from utils.pictures.scene import Scene
from utils.pictures.show import KINDS as PICTURES
from utils.pictures.show import check_kinds, show
from utils.pictures.viewer import page
from utils.predict.predictor import Forecast, Predictor, load_predictor
from utils.predict.recordings import (
    Sliding,
    errors_over_time,
    find_recordings,
    invented_motion,
    output_path,
    slide,
)
from utils.predict.write import KINDS, SLIDING_KINDS, write_forecast, write_sliding

PAGE = '.html'


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', type=Path,
                        help='run folder, its name under checkpoint/, a checkpoint file, or an exported '
                             '.onnx; of a folder the best epoch is taken')
    parser.add_argument('motion', metavar='MOTION', type=Path, nargs='*',
                        help='files or folders of them: .bvh of any humanoid, .npy positions (frames, '
                             'joints, 3), .amc beside its .asf, or the benchmark\'s .txt')
    source = parser.add_argument_group('input')
    source.add_argument('--fps', type=at_least(0, float),
                        help='frames per second of MOTION; needed for .npy, else the file\'s or dataset\'s')
    source.add_argument('--units', choices=tuple(UNITS_MM),
                        help='unit of .npy or .bvh positions, needed for .npy; asf is the '
                                                                 'CMU database\'s own, 56.4 mm')
    source.add_argument('--joints', metavar='TABLE',
                        help='a CSV file name,joint that says which joint is which, or a built-in table '
                             '(docs/predict.md); without it, found by name or number')
    source.add_argument('--up', choices=tuple(UP), help='axis of MOTION that points up, where that is not y')
    source.add_argument('--mirror-x', action='store_true', help='the axes of MOTION are left-handed')
    source.add_argument('--asf', metavar='FILE', type=Path, help='skeleton of an .amc that is not beside it')
    source.add_argument('--last', metavar='FRAME', type=at_least(-10**6), default=-1,
                        help='last observed frame of MOTION, from 0; negative from the end')
    source.add_argument('--every', metavar='N', type=at_least(1),
                        help='predict from every N-th frame on, and compare with the recording; in place of '
                             '--last')
    source.add_argument('--invented', metavar='ACTION',
                        help='in place of MOTION, a few seconds of invented motion: walking, ...')
    result = parser.add_argument_group('output')
    result.add_argument('--frames', metavar='N', type=at_least(1, most=10_000),
                        help='predict so many frames; beyond the model\'s own number the prediction is fed '
                             'back')
    result.add_argument('--out', metavar='FILE', type=Path, action='append', default=[],
                        help='write the future here: .csv with time stamps and joint names, .npy (frames, '
                             'joints, 3), .bvh for animation programs, .html to turn and scrub; of several '
                             'recordings as NAME_FILE; repeatable')
    result.add_argument('--observed', action='store_true',
                        help='put the observed frames before the prediction in --out')
    result.add_argument('--pictures', metavar='DIR', type=Path,
                        help='draw the prediction into this folder: see tools/visualise.py')
    result.add_argument('--world', action='store_true',
                        help='poses where and as the root is in the last observed frame, instead of '
                             'root-centred in the body\'s frame')
    return parser.parse_intermixed_args(argv)


def check_arguments(arguments: argparse.Namespace, recordings: list[Path]) -> None:
    """Raises InputError where options contradict one another, or an output cannot be written."""
    if bool(arguments.invented) == bool(recordings):
        raise InputError('name a MOTION, or --invented walking, and not both')
    sliding = arguments.every is not None
    if sliding and arguments.last != -1:
        raise InputError('--every takes many last frames: leave --last out')
    if sliding and arguments.observed:
        raise InputError('--every writes predictions alone: leave --observed out')
    kinds = SLIDING_KINDS if sliding else (*KINDS, PAGE)
    for out in arguments.out:
        if out.suffix.lower() not in kinds:
            raise InputError(f'--out {out}: write {", ".join(kinds)}')
        for recording in recordings:
            if output_path(out, recording, several=len(recordings) > 1).resolve() == recording.resolve():
                raise InputError(f'--out {out}: is the input, which is never written to')
        if not out.parent.is_dir():
            raise InputError(f'--out {out}: no folder {out.parent}')
    if arguments.pictures:
        check_kinds(list(PICTURES))


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    recordings = find_recordings(arguments.motion)
    check_arguments(arguments, recordings)
    predictor = load_predictor(arguments.checkpoint)
    if arguments.invented:
        name = Path(f'invented_{arguments.invented}')
        predict_one(predictor, name, invented_motion(predictor.dataset, arguments.invented), arguments,
                    several=False)
    failed = 0
    for recording in recordings:
        try:
            motion = read_motion(recording, predictor.dataset, fps=arguments.fps, units=arguments.units,
                                 asf=arguments.asf,
                                 joints=arguments.joints, up=arguments.up, mirror_x=arguments.mirror_x)
            predict_one(predictor, recording, motion, arguments, several=len(recordings) > 1)
        except InputError as error:
            if len(recordings) == 1:
                raise
            print(f'error: {error}', file=sys.stderr)
            failed += 1
    if failed:
        raise InputError(f'{failed} of {len(recordings)} recordings could not be predicted: see above')
    if not (arguments.out or arguments.pictures):
        print('nothing written: add --out FILE.csv, .npy, .bvh or .html, or --pictures DIR')


def predict_one(predictor: Predictor, name: Path, motion: Motion, arguments: argparse.Namespace, *,
                several: bool) -> None:
    """Predicts one recording, says what was done and writes what is asked for."""
    try:
        if arguments.every is not None:
            result = slide(predictor, motion, arguments.every, world=arguments.world, frames=arguments.frames)
        else:
            forecast = predictor.forecast(motion, last=arguments.last, world=arguments.world,
                                          frames=arguments.frames)
    except InputError as error:
        raise InputError(f'{name}: {error}') from None
    describe_motion(name, motion, predictor)
    if arguments.every is not None:
        describe_sliding(result, motion, predictor)
        for out in arguments.out:
            path = output_path(out, name, several=several)
            write_sliding(path, *result)
            print(f'written: {path}')
        if arguments.pictures:
            for picture in draw_sliding(result, motion, name, arguments.pictures):
                print(f'written: {picture}')
        return
    last = predictor.check_last(motion, arguments.last)
    describe(forecast, predictor.fps)
    if predictor.reaches_t_pose(motion, last):
        print('note: the observed frames reach frame 0, a T-pose that nobody stood in: take a later --last')
    scene = Scene(name.stem, f'{name.name}, after frame {last}, true mm', dataset_named(predictor.dataset),
                  forecast.observed, forecast.future, forecast.truth)
    for out in arguments.out:
        path = output_path(out, name, several=several)
        if path.suffix.lower() == PAGE:
            write_text(path, page([scene]))
        else:
            write_forecast(path, forecast, predictor.skeleton, with_observed=arguments.observed)
        print(f'written: {path}')
    if arguments.pictures:
        for picture in show([scene], arguments.pictures, list(PICTURES), fps=10):
            print(f'written: {picture}')


def describe_motion(name: Path, motion: Motion, predictor: Predictor) -> None:
    """Prints what was read and what is to be known of it."""
    print(f'{name}: {len(motion.body)} frames at {motion.fps:g} fps, joints as in {motion.table}')
    placed = [joint for joint, known in zip(predictor.skeleton.joints, motion.known, strict=True)
              if not known]
    if placed:
        print(f'placed by rule, as the file lacks them: {", ".join(placed)}')
    for note in motion.notes:
        print(f'note: {note}')
    if motion.fps < predictor.fps / 2 - 1e-9:
        print(f'note: {motion.fps:g} fps is less than half of {predictor.fps:g}: what is between its frames '
              f'is guessed')


def describe(forecast: Forecast, fps: float) -> None:
    """Prints times, how far the joints go, and the error where the recording goes on."""
    moved = np.linalg.norm(forecast.future - forecast.observed[-1], axis=-1)  # (T, J)
    far = int(moved[-1].argmax())
    print(f'observed {len(forecast.observed)} frames at {fps:g} fps; predicted {len(forecast.future)} more, '
          f'{forecast.future_ms[0]:.1f} to {forecast.future_ms[-1]:.1f} ms ahead (true time)')
    if len(forecast.future) > forecast.horizon:
        print(f'note: from {forecast.future_ms[forecast.horizon]:.1f} ms on it is a continuation, predicted '
              f'from predicted frames; the model\'s own horizon is {forecast.horizon} frames')
    print(f'by then the joints have moved {moved[-1].mean():.0f} mm on average, {forecast.joints[far]} most: '
          f'{moved[-1, far]:.0f} mm')
    if forecast.errors is not None:
        print('the recording goes on: mean error in true mm at '
              + ', '.join(f'{forecast.future_ms[k]:.0f} ms {forecast.errors[k]:.1f}'
                          for k in shown(len(forecast.errors))))


def describe_sliding(sliding: Sliding, motion: Motion, predictor: Predictor) -> None:
    """Prints how many windows there are, and their mean errors where the recording goes on."""
    _, errors, still = errors_over_time(sliding, motion.fps)
    print(f'predicted from {len(sliding.lasts)} moments, after frames {sliding.lasts[0]} to '
          f'{sliding.lasts[-1]}; of {len(errors)} the recording has the whole future')
    if not len(errors):
        return
    times, horizon = sliding.forecasts[0].future_ms, predictor.output_n
    print('mean error in true mm   predicted   standing still')
    for k in shown(errors.shape[1]):
        note = '   a continuation' if k >= horizon else ''
        print(f'{times[k]:12.0f} ms {errors[:, k].mean():19.1f} {still[:, k].mean():16.1f}{note}')


def draw_sliding(sliding: Sliding, motion: Motion, name: Path, folder: Path) -> list[Path]:
    """Writes the errors over time as a table and a plot, where the recording goes on. Returns their paths."""
    from utils.pictures.over_time import plot_errors

    times, errors, still = errors_over_time(sliding, motion.fps)
    if not len(times):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    labels = sliding.forecasts[0].future_ms
    columns = shown(errors.shape[1])
    table, plot = folder / f'{name.stem}_errors.csv', folder / f'{name.stem}_errors.png'
    rows = ['time_s,' + ','.join(f'predicted_{labels[k]:.0f}_ms,standing_still_{labels[k]:.0f}_ms'
                                 for k in columns)]
    rows += [f'{time:.3f},' + ','.join(f'{own[k]:.2f},{other[k]:.2f}' for k in columns)
             for time, own, other in zip(times, errors, still, strict=True)]
    write_text(table, '\n'.join(rows) + '\n')
    plot_errors(plot, name.name, times, {f'{labels[k]:.0f} ms': (errors[:, k], still[:, k])
                                         for k in columns[-1:] + columns[1:2]})
    return [table, plot]


def shown(frames: int) -> list[int]:
    """Returns up to five frames spread over the prediction, the last one among them."""
    return sorted({round(share * frames / 5) - 1 for share in range(1, 6)} - {-1})


if __name__ == '__main__':
    sys.exit(run_tool(main))
