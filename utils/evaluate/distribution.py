"""How errors are spread over windows, and where the largest are."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from utils.evaluate.window_errors import WindowErrors

PERCENTILES = (50, 90, 99)


class Worst(NamedTuple):
    """A recording and its worst window.

    file, action: the recording's.
    start: first observed frame of the window, at the used frame rate.
    error: MPJPE of that window.
    median: of the recording's windows, mm.
    windows: their number.
    """

    file: str
    action: str
    start: int
    error: float
    median: float
    windows: int


def of_actions(errors: WindowErrors, actions: Sequence[str]) -> np.ndarray:
    """Returns which windows are of these actions, (W,) of bool."""
    return np.isin(errors.actions[errors.action], list(actions))


def percentiles(errors: WindowErrors, actions: Sequence[str]) -> np.ndarray:
    """Returns PERCENTILES of the MPJPE over the windows of these actions: (len(PERCENTILES), T), mm.

    Each window counts the same.
    """
    kept = errors.all_joints[of_actions(errors, actions)]
    return np.percentile(kept.astype(np.float64), PERCENTILES, axis=0)


def worst_by_recording(errors: WindowErrors, actions: Sequence[str], frame: int) -> list[Worst]:
    """Returns each recording with its worst window at a frame, the worst recording first."""
    found = []
    kept = of_actions(errors, actions)
    for recording in np.unique(errors.recording[kept]):
        mine = np.flatnonzero(kept & (errors.recording == recording))
        of_mine = errors.all_joints[mine, frame]
        window = mine[of_mine.argmax()]
        file, action = errors.files[recording], errors.actions[errors.action[window]]
        found.append(Worst(str(file), str(action), int(errors.start[window]), float(of_mine.max()),
                           float(np.median(of_mine)), len(mine)))
    return sorted(found, key=lambda one: -one.error)
