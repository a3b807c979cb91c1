"""Whether a motion's pace is one that people have: a wrong frame rate shows in it."""
import numpy as np

from utils.data.skeleton import Skeleton
from utils.mocap.joints import MODEL_TABLE, model_joints

FASTEST_ROOT = 11.0  # m/s over half a second: sprinters reach 12
FASTEST_STEPS = 3.3  # steps a second of anyone slower than RUNNING
RUNNING = 4.0  # m/s
SMALLEST_STEP_MM = 120  # how far the feet are apart along the walk, standard deviation


def step_rate(apart: np.ndarray, fps: float) -> float | None:
    """Returns steps a second from how far the feet are apart along the walk, (F,) in mm.

    None where nobody walks.
    """
    apart = apart - apart.mean()
    if len(apart) < fps or apart.std() < SMALLEST_STEP_MM:
        return None
    likeness = np.correlate(apart, apart, 'full')[len(apart) - 1:] / np.arange(len(apart), 0, -1)
    likeness = likeness[: max(2 * len(apart) // 3, 3)] / likeness[0]
    # Below zero, above it for the first stride, below it again.
    edges = np.flatnonzero(np.diff(likeness > 0)) + 1
    if len(edges) < 2:
        return None
    first = edges[1] + int(likeness[edges[1]: edges[2] if len(edges) > 2 else None].argmax())
    return float(2 * fps / first) if likeness[first] > 0.6 else None


def pace_note(body: np.ndarray, position: np.ndarray, fps: float, skeleton: Skeleton) -> tuple[str, ...]:
    """Returns a note where the root moves or the feet step as fast as no person does.

    body: (F, J, 3) root-centred mm in the body's frame.
    position: (F, 3) of the root, true mm.
    """
    half = max(1, round(fps / 2))
    speed = 0.0
    if len(position) > half:
        speed = float(np.linalg.norm(position[half:] - position[:-half], axis=-1).max()) * fps / half / 1000
    names = model_joints(next(name for name in MODEL_TABLE
                              if len(model_joints(name)) == len(skeleton.joints)))
    left, right = names.index('left_ankle'), names.index('right_ankle')
    steps = step_rate(body[:, left, 2] - body[:, right, 2], fps)
    if speed > FASTEST_ROOT:
        said = f'the root moves at {speed:.0f} m/s'
    elif steps is not None and steps > FASTEST_STEPS and speed < RUNNING * 1.2:
        said = f'{steps:.1f} steps a second at {speed:.1f} m/s'
    else:
        return ()
    return (f'{said}, as no person does: is {fps:g} fps right? --fps says another',)
