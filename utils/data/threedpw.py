"""3DPW: sequenceFiles/{train,validation,test}/*.pkl at 30 fps.

Each file has 'jointPositions' of one person or more, in metres.
"""
from pathlib import Path

import numpy as np

from utils.common.errors import InputError
from utils.common.files import is_hidden
from utils.data.dataset import HISTORY, PROTOCOL_SEED, Dataset, SourceFile
from utils.data.safe_pickle import as_array, load_pickle
from utils.data.skeleton import FARTHEST_JOINT_MM, THREEDPW

ACTION = 'all'  # the scenes have no action labels: the literature averages over all windows
COLUMNS = 3 * len(THREEDPW.joints)
FARTHEST_M = 1e6  # from the world's origin; beyond it, rounding leaves too little of a pose


def read(path: Path) -> list[np.ndarray]:
    """Reads every person in a file: (F, 24, 3) positions in mm, relative to the pelvis.

    Raises InputError, naming file and person, where there is none or one is damaged.
    """
    content = load_pickle(path)
    people = content.get('jointPositions') if isinstance(content, dict) else None
    if not isinstance(people, list) or not people:
        raise InputError(f'{path}: has no list of persons \'jointPositions\', as 3DPW\'s sequence files have')
    return [root_centred(path, number, person) for number, person in enumerate(people, start=1)]


def root_centred(path: Path, number: int, person: object) -> np.ndarray:
    """Turns one person's (F, 72) metres into (F, 24, 3) mm relative to joint 0, float32.

    number: the person's in the file, from 1, for the message of an InputError.
    """
    try:
        metres = as_array(person)
    except ValueError as error:
        raise InputError(f'{path}: person {number}: {error}') from None
    if metres.ndim != 2 or metres.shape[1] != COLUMNS or not len(metres):
        raise InputError(f'{path}: person {number}: jointPositions of shape {metres.shape}, expected '
                         f'(frames, {COLUMNS})')
    metres = metres.astype(np.float64)
    if len(bad := np.flatnonzero(~(np.abs(metres) <= FARTHEST_M).all(axis=1))):
        raise InputError(f'{path}: person {number}: frame {bad[0]} holds a value that is not a finite number '
                         f'up to {FARTHEST_M:g} (metres)')
    joints = 1000 * metres.reshape(len(metres), -1, 3)
    centred = joints - joints[:, :1]
    reach = np.linalg.norm(centred, axis=-1).max(axis=1)
    if len(far := np.flatnonzero(reach > FARTHEST_JOINT_MM)):
        raise InputError(f'{path}: person {number}: frame {far[0]} has a joint {reach[far[0]] / 1000:.4g} m '
                         'from the root')
    return centred.astype(np.float32)


def find_files(root: Path, split: str) -> list[SourceFile]:
    """Lists the sequence files of a split. Raises InputError where there are none."""
    if not (root / split).is_dir():
        raise InputError(f'{root / split}: no such folder; 3DPW\'s sequenceFiles has train/, validation/ and '
                         'test/')
    paths = sorted(path for path in (root / split).glob('*.pkl') if not is_hidden(path))
    files = [SourceFile(path, ACTION) for path in paths]
    if not files:
        raise InputError(f'{root / split}: holds no sequence file (*.pkl) of 3DPW')
    return files


def test_starts(lengths: list[int], count: int, input_n: int, output_n: int) -> list[np.ndarray]:
    """Draws `count` window starts in each person's sequence, from all of its test windows.

    The generator starts anew from the same seed in each sequence.
    These draws are this project's own: the literature tests 3DPW on all windows only.
    """
    first = max(0, HISTORY - input_n)
    rooms = [length - first - input_n - output_n + 1 for length in lengths]
    return [first + np.random.RandomState(PROTOCOL_SEED).randint(0, room, size=count) for room in rooms]


DATASET = Dataset(name='3dpw', title='3DPW', skeleton=THREEDPW, actions=(ACTION,),
                  folders=('3dpw/sequenceFiles', 'sequenceFiles'), inside=('train', 'validation', 'test'),
                  files=find_files, read=read, test_starts=test_starts, test_history=HISTORY,
                  shown_labels=(100, 200, 300, 400, 500, 600, 800, 1000),
                  drawn_for='person of each sequence, drawn by this project')
