"""Human3.6M: S{1,5,6,7,8,9,11}/{action}_{1,2}.txt, 99 exponential-map columns at 50 fps, every second frame used."""
from pathlib import Path

import numpy as np

from utils.common.errors import InputError
from utils.data.dataset import Dataset, Recording, SourceFile, load_recordings, read_exponential_maps, text_file
from utils.data.skeleton import H36M
from utils.data.windows import h36m_test_starts

ACTIONS = ('walking', 'eating', 'smoking', 'discussion', 'directions', 'greeting', 'phoning', 'posing', 'purchases',
           'sitting', 'sittingdown', 'takingphoto', 'waiting', 'walkingdog', 'walkingtogether')
SUBJECTS = {'train': ('S1', 'S6', 'S7', 'S8', 'S9'), 'validation': ('S11',), 'test': ('S5',)}
TAKES = (1, 2)


def action_of(split: str) -> dict[str, str]:
    """The files of a split, below the dataset's folder, each with its action; an action's two takes stand together."""
    return {f'{subject}/{action}_{take}.txt': action for subject in SUBJECTS[split] for action in ACTIONS for take in TAKES}


def read(path: Path) -> list[np.ndarray]:
    return [read_exponential_maps(path, H36M)]


def recordings(root: Path, split: str, window: int) -> list[Recording]:
    """One recording for each take that is there, so that no window spans two."""
    files = [SourceFile(text_file(root / name), action) for name, action in action_of(split).items()]
    files = [file for file in files if file.path.exists()]
    if not files:
        raise InputError(f'{root}: holds none of the {split} files, {", ".join(SUBJECTS[split])}/{{action}}_{{take}}.txt')
    return load_recordings(root, split, files, read, H36M)


DATASET = Dataset(name='h36m', title='Human3.6M', skeleton=H36M, actions=ACTIONS, folders=('h36m', 'h3.6m/dataset'),
                inside=tuple(subject for subjects in SUBJECTS.values() for subject in subjects), recordings=recordings,
                test_starts=h36m_test_starts, expected=lambda split: list(action_of(split)))
