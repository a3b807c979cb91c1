"""What every dataset's reader provides, and the way from a folder to recordings that they share."""
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.data.cache import read_cache, write_cache
from utils.data.kinematics import joint_positions
from utils.data.skeleton import Skeleton
from utils.data.text import read_numbers
from utils.errors import InputError


@dataclass(frozen=True)
class SourceFile:
    """One file on disk and the action its windows count for."""

    path: Path
    action: str


@dataclass(frozen=True)
class Recording:
    """One person's motion: (F, J, 3) root-centred joint positions in mm, float32, at the used frame rate."""

    action: str
    source: str
    frames: np.ndarray


@dataclass(frozen=True)
class Reader:
    """One dataset: its tables, and the functions that know its files.

    title: its name in tables. folders: names its own folder goes by under --data_dir; inside: a subfolder by which that
    folder is known. recordings(root, split, window): the motion of 'train', 'validation' or 'test', for windows of that
    many frames. test_starts(lengths, count, input_n, output_n): the drawn window starts of the test recordings of one
    action. other_average: actions that some papers average instead of all.
    """

    name: str
    title: str
    skeleton: Skeleton
    actions: tuple[str, ...]
    folders: tuple[str, ...]
    inside: str
    recordings: Callable[[Path, str, int], list[Recording]]
    test_starts: Callable[[list[int], int, int, int], list[np.ndarray]]
    other_average: tuple[str, ...] = ()


def find_root(data_dir: str, reader: Reader) -> Path:
    """The dataset's own folder: `data_dir` itself, or one of `reader.folders` in it. InputError where there is none."""
    base = Path(data_dir)
    candidates = [base, *(base / folder for folder in reader.folders)]
    for candidate in candidates:
        if (candidate / reader.inside).is_dir():
            return candidate
    if not base.exists():
        raise InputError(f'--data_dir {data_dir}: no such folder')
    looked = ', '.join(str(candidate / reader.inside) for candidate in candidates)
    raise InputError(f'--data_dir {data_dir}: no {reader.name} data there; looked for {looked}')


def read_exponential_maps(path: Path, skeleton: Skeleton) -> np.ndarray:
    """(F, J, 3) positions from a text file of 3 + 3 J columns: translation, then an exponential map for each joint.

    Every `stride`-th row is used. Global translation and rotation (the first six columns) are dropped.
    """
    rows = read_numbers(path, 3 + 3 * len(skeleton.joints))[:: skeleton.stride]
    rotations = rows[:, 3:].reshape(len(rows), -1, 3)
    rotations[:, 0] = 0
    return joint_positions(rotations, skeleton).astype(np.float32)


def load_recordings(root: Path, part: str, files: list[SourceFile], read: Callable[[Path], list[np.ndarray]],
                    skeleton: Skeleton) -> list[Recording]:
    """The recordings in `files` (all below `root`), from the cache of this part of the dataset or freshly parsed."""
    names = [str(file.path.relative_to(root)) for file in files]
    cached = read_cache(root, part, names, skeleton)
    if cached is None:
        cached = []
        with tqdm(files, desc=f'reading {root.name} {part}', unit='file', leave=False) as bar:
            for name, file in zip(names, bar, strict=True):
                bar.set_postfix_str(f'{file.path.name}, {sum(len(frames) for _, frames in cached)} frames')
                cached += [(name, frames) for frames in read(file.path)]
        write_cache(root, part, names, skeleton, cached)
    action_of = {name: file.action for name, file in zip(names, files, strict=True)}
    return [Recording(action_of[name], name, frames) for name, frames in cached]
