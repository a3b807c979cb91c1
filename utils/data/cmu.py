"""CMU mocap, the 8-action benchmark of Li et al. (CVPR 2018).

Files are {train,test}/{action}/{action}_{k}.txt with 117 columns at 120 Hz; every second frame is used.
"""
import re
from pathlib import Path

import numpy as np

from utils.common.errors import InputError
from utils.data.dataset import HISTORY, PROTOCOL_SEED, Dataset, SourceFile, read_exponential_maps, text_file
from utils.data.skeleton import CMU

ACTIONS = ('basketball', 'basketball_signal', 'directing_traffic', 'jumping', 'running', 'soccer', 'walking',
           'washwindow')
VALIDATION_FRACTION = 0.1


def find_files(root: Path, part: str) -> list[SourceFile]:
    """Lists the numbered files of every action in 'train' or 'test', in numeric order.

    Holes in the numbering are fine. Raises InputError where there is no such folder or no such file.
    """
    if not (root / part).is_dir():
        raise InputError(f'{root / part}: no such folder; CMU mocap has train/ and test/')
    files = []
    for action in ACTIONS:
        folder = root / part / action
        names = {path.name.removesuffix('.gz') for path in folder.glob(f'{action}_*.txt*')}
        pattern = rf'{action}_(\d+)\.txt'
        numbered = sorted((int(match[1]), name) for name in names if (match := re.fullmatch(pattern, name)))
        files += [SourceFile(text_file(folder / name), action) for _, name in numbered]
    if not files:
        raise InputError(f'{root / part}: holds none of the files {{action}}/{{action}}_{{number}}.txt of '
                         'CMU mocap')
    return files


def read(path: Path) -> list[np.ndarray]:
    """Reads the one person in a file: (F, 38, 3) positions in published mm."""
    return [read_exponential_maps(path, CMU)]


def hold_out(frames: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a training recording (F, J, 3) into its training part and its validation part at the end.

    The validation part is the last tenth, but at least one window.
    The two parts share no frame, so no training window overlaps a validation window.
    A recording under two windows long stays in training whole.

    window: observed and predicted frames together.
    """
    held = max(window, round(VALIDATION_FRACTION * len(frames)))
    cut = len(frames) - held if len(frames) >= 2 * window else len(frames)
    return frames[:cut], frames[cut:]


def cut(frames: np.ndarray, split: str, window: int) -> np.ndarray:
    """Returns what 'train' or 'validation' has of a training file (F, J, 3). A test file is whole."""
    return frames if split == 'test' else hold_out(frames, window)[split == 'validation']


def test_starts(lengths: list[int], count: int, input_n: int, output_n: int) -> list[np.ndarray]:
    """Draws `count` window starts in each test file (protocol of Mao et al., ICCV 2019, LearnTrajDep).

    The generator starts anew from the same seed in each file.
    Raises InputError where a file is too short.
    """
    starts = []
    for length in lengths:
        room = length - HISTORY - output_n
        if room < 1:
            raise InputError(f'a test file has {length} frames, too few for drawn windows (needs '
                             f'{HISTORY + output_n + 1}): use --test_sample_num -1')
        draw = np.random.RandomState(PROTOCOL_SEED)
        starts.append(np.array([draw.randint(0, room) for _ in range(count)]) + HISTORY - input_n)
    return starts


DATASET = Dataset(name='cmu', title='CMU mocap', skeleton=CMU, actions=ACTIONS, folders=('cmu_mocap',),
                  inside=('train', 'test'), files=find_files, read=read, test_starts=test_starts,
                  part_of={'validation': 'train'}, cut=cut,  # there are no validation files
                  other_average=tuple(action for action in ACTIONS if action != 'running'))
