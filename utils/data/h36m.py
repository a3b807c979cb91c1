"""Human3.6M in the exponential-map layout of Jain et al. (CVPR 2016).

Files are S{1,5,6,7,8,9,11}/{action}_{1,2}.txt with 99 columns at 50 fps; every second frame is used.
"""
from pathlib import Path

import numpy as np

from utils.common.errors import InputError
from utils.data.dataset import HISTORY, PROTOCOL_SEED, Dataset, SourceFile, read_exponential_maps, text_file
from utils.data.skeleton import H36M

ACTIONS = ('walking', 'eating', 'smoking', 'discussion', 'directions', 'greeting', 'phoning', 'posing',
           'purchases', 'sitting', 'sittingdown', 'takingphoto', 'waiting', 'walkingdog', 'walkingtogether')
SUBJECTS = {'train': ('S1', 'S6', 'S7', 'S8', 'S9'), 'validation': ('S11',), 'test': ('S5',)}
TAKES = (1, 2)


def action_of(split: str) -> dict[str, str]:
    """Returns the files of a split, below the dataset's folder, each with its action.

    An action's two takes stand together.
    """
    return {f'{subject}/{action}_{take}.txt': action
            for subject in SUBJECTS[split] for action in ACTIONS for take in TAKES}


def read(path: Path) -> list[np.ndarray]:
    """Reads the one person in a file: (F, 32, 3) positions in mm."""
    return [read_exponential_maps(path, H36M)]


def find_files(root: Path, split: str) -> list[SourceFile]:
    """Lists the takes of a split that are there. Raises InputError where there are none."""
    files = [SourceFile(text_file(root / name), action) for name, action in action_of(split).items()]
    files = [file for file in files if file.path.exists()]
    if not files:
        subjects = ', '.join(SUBJECTS[split])
        raise InputError(f'{root}: holds none of the {split} files, {subjects}/{{action}}_{{take}}.txt')
    return files


def test_starts(lengths: list[int], count: int, input_n: int, output_n: int) -> list[np.ndarray]:
    """Draws `count` / 2 window starts in each of an action's two takes.

    This is the protocol of Martinez et al. (CVPR 2017).
    Starts are drawn in pairs, so each draw depends on both lengths: an action that lacks a take has none.
    Raises InputError where a take is too short.
    """
    if len(lengths) != 2:
        return [np.zeros(0, dtype=int) for _ in lengths]
    first, second = lengths
    if min(lengths) - 150 <= 16:
        raise InputError(f'a take has {min(lengths)} frames, too few for drawn windows (needs 167): use '
                         '--test_sample_num -1')
    draw = np.random.RandomState(PROTOCOL_SEED)
    pairs = [(draw.randint(16, first - 150), draw.randint(16, second - 150)) for _ in range(count // 2)]
    return list(np.array(pairs).T + HISTORY - input_n)


DATASET = Dataset(name='h36m', title='Human3.6M', skeleton=H36M, actions=ACTIONS,
                  folders=('h36m', 'h3.6m/dataset', 'dataset'),
                  inside=tuple(subject for subjects in SUBJECTS.values() for subject in subjects),
                  files=find_files, read=read, test_starts=test_starts,
                  expected=lambda split: list(action_of(split)),
                  file_format='exponential maps as text, not the .cdf files of the dataset\'s own site')
