"""CMU mocap, the 8-action benchmark: {train,test}/{action}/{action}_{k}.txt, 117 columns at 120 Hz, every second frame used."""
import re
from pathlib import Path

import numpy as np

from utils.common.errors import InputError
from utils.data.dataset import Dataset, Recording, SourceFile, load_recordings, read_exponential_maps, text_file
from utils.data.skeleton import CMU
from utils.data.windows import cmu_test_starts

ACTIONS = ('basketball', 'basketball_signal', 'directing_traffic', 'jumping', 'running', 'soccer', 'walking',
           'washwindow')
VALIDATION_FRACTION = 0.1


def find_files(root: Path, part: str) -> list[SourceFile]:
    """The numbered files of every action in 'train' or 'test', in numeric order; holes in the numbering are fine."""
    if not (root / part).is_dir():
        raise InputError(f'{root / part}: no such folder; CMU mocap has train/ and test/')
    files = []
    for action in ACTIONS:
        folder = root / part / action
        names = {path.name.removesuffix('.gz') for path in folder.glob(f'{action}_*.txt*')}
        numbered = sorted((int(match[1]), name) for name in names if (match := re.fullmatch(rf'{action}_(\d+)\.txt', name)))
        files += [SourceFile(text_file(folder / name), action) for _, name in numbered]
    if not files:
        raise InputError(f'{root / part}: holds none of the files {{action}}/{{action}}_{{number}}.txt of CMU mocap')
    return files


def read(path: Path) -> list[np.ndarray]:
    return [read_exponential_maps(path, CMU)]


def hold_out(frames: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a training sequence (F, J, 3) into its training part and its validation part at the end.

    The validation part is the last tenth, but at least one window: the two parts share no frame, so no training window
    overlaps a validation window. A sequence under two windows long stays in training whole.
    """
    held = max(window, round(VALIDATION_FRACTION * len(frames)))
    cut = len(frames) - held if len(frames) >= 2 * window else len(frames)
    return frames[:cut], frames[cut:]


def recordings(root: Path, split: str, window: int) -> list[Recording]:
    """'train' and 'validation' come from the train folder, as there are no validation files; 'test' from test."""
    part = 'test' if split == 'test' else 'train'
    whole = load_recordings(root, part, find_files(root, part), read, CMU)
    if split == 'test':
        return whole
    side = 0 if split == 'train' else 1
    cut = [Recording(r.action, r.source, hold_out(r.frames, window)[side]) for r in whole]
    return [recording for recording in cut if len(recording.frames)]


DATASET = Dataset(name='cmu', title='CMU mocap', skeleton=CMU, actions=ACTIONS, folders=('cmu_mocap',), inside=('train', 'test'),
                recordings=recordings, test_starts=cmu_test_starts,
                other_average=tuple(action for action in ACTIONS if action != 'running'))
