"""Several recordings, and several moments of one: which files, where predictions go, windows that slide."""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.common.errors import InputError, reading
from utils.common.files import is_hidden
from utils.data.kinematics import joint_positions
from utils.data.lookup import dataset_named
from utils.data.synthetic.actions import make_motion
from utils.data.synthetic.body import CMU_BODY, H36M_BODY, THREEDPW_BODY, pose
from utils.mocap.motion import Motion, motion_of_positions
from utils.mocap.motion_files import KINDS
from utils.predict.predictor import Forecast, Predictor

BODIES = {'cmu': CMU_BODY, 'h36m': H36M_BODY, '3dpw': THREEDPW_BODY}
INVENTED_SECONDS = 4


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """Lists files as they are given, and of a folder those below it that can be recordings.

    Hidden files are left out.
    InputError where a folder has none, or two recordings have one name without ending: their predictions
    would too.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        with reading(path):
            own = [file for file in sorted(path.rglob('*')) if file.suffix.lower() in KINDS
                   and not is_hidden(file)]
        if not own:
            raise InputError(f'{path}: holds no recording ({", ".join(KINDS)})')
        found += own
    names: dict[str, Path] = {}
    for path in found:
        if path.stem in names:
            raise InputError(f'{path} and {names[path.stem]}: two recordings of one name, whose predictions '
                             'would be one file: predict them one by one')
        names[path.stem] = path
    return found


def output_path(out: Path, recording: Path, *, several: bool) -> Path:
    """Returns where a recording's prediction goes: `out`, or of several a file beside it, walk_future.csv."""
    return out.with_name(f'{recording.stem}_{out.name}') if several else out


class Sliding(NamedTuple):
    """Predictions from many moments of one recording: the last observed frames, and what follows each."""

    lasts: list[int]
    forecasts: list[Forecast]


def slide(predictor: Predictor, motion: Motion, every: int, *, world: bool = False,
          frames: int | None = None) -> Sliding:
    """Predicts from every `every`-th frame of a motion on, from the first one that enough frames lead up to.

    Frame 0 is not observed where it is a T-pose.
    InputError where the motion is too short.

    every: 1 or more.
    """
    first = predictor.first_last(motion) + (1 if motion.t_pose else 0)
    lasts = list(range(first, len(motion.body), every))
    if not lasts:
        predictor.check_last(motion, -1)
    return Sliding(lasts, [predictor.forecast(motion, last=last, world=world, frames=frames)
                           for last in lasts])


def errors_over_time(sliding: Sliding, fps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns times and errors of the windows whose future is recorded.

    The times (W,) are those of the last observed frame, in s. The errors (W, T), in true mm, are those of the
    prediction and of standing still.
    """
    scored = [(last / fps, forecast.errors, forecast.errors_standing_still)
              for last, forecast in zip(sliding.lasts, sliding.forecasts, strict=True)
              if forecast.truth is not None]
    times, errors, still = ([row[column] for row in scored] for column in range(3))
    return np.array(times), np.array(errors), np.array(still)


def invented_motion(dataset: str, action: str = 'walking', seed: int = 0) -> Motion:
    """Makes a few seconds of invented motion on a dataset's skeleton. InputError for an unknown action."""
    body, skeleton = BODIES[dataset], dataset_named(dataset).skeleton
    try:
        motion = make_motion(action, INVENTED_SECONDS * skeleton.raw_fps, fps=skeleton.raw_fps,
                             rng=np.random.default_rng(seed))
    except KeyError:
        raise InputError(f'--invented {action}: no such action; walking, running and jumping are') from None
    rotations, _, path = pose(motion, body)
    metres = joint_positions(rotations, body.skeleton) * body.metres + path[:, None]
    return motion_of_positions(metres, dataset, fps=skeleton.raw_fps, units='m')
