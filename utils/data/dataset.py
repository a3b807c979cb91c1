"""What a dataset is, and the way from its folder to recordings, which all datasets share."""
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from utils.common.errors import InputError, reading
from utils.common.progress import Progress
from utils.data.cache import read_cache, write_cache
from utils.data.kinematics import joint_positions
from utils.data.skeleton import Skeleton
from utils.data.text import read_numbers

log = logging.getLogger('ksof')
PROTOCOL_SEED = 1234567890  # the field's; the drawn window starts are part of the protocol
HISTORY = 50  # frames before the prediction that the drawn windows leave room for, however few are observed


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


def whole(frames: np.ndarray, split: str, window: int) -> np.ndarray:
    """Returns a recording (F, J, 3) as it is: the split has files of its own."""
    return frames


@dataclass(frozen=True)
class Dataset:
    """The rules of one dataset: its tables, and functions of one file or of lengths alone.

    name: as checkpoints and --dataset have it.
    title: its name in tables.
    folders: paths that its own folder goes by under --data_dir.
    inside: subfolders, any of which tells that folder.
    files(root, part): the files of a part of the dataset. InputError where there are none.
    read(path): the motion of each person in a file, (F, J, 3) root-centred positions in mm, float32.
    test_starts(lengths, count, input_n, output_n): the drawn window starts of one action's test recordings.
    part_of: the part that a split is cut out of, where it is not one itself.
    cut(frames, split, window): what of a recording is in a split, for windows of that many frames.
    expected(split): files, below the root, of a dataset that is a fixed set; none where it is not.
    drawn_for: what each draw of test windows is made for, in words.
    test_history: frames before the prediction that all-windows testing leaves room for at the start of a
        recording, where that is more than the observed ones.
    shown_labels: the field's columns, in ms.
    other_average: actions that some papers average instead of all.
    """

    name: str
    title: str
    skeleton: Skeleton
    actions: tuple[str, ...]
    folders: tuple[str, ...]
    inside: tuple[str, ...]
    files: Callable[[Path, str], list[SourceFile]]
    read: Callable[[Path], list[np.ndarray]]
    test_starts: Callable[[list[int], int, int, int], list[np.ndarray]]
    part_of: Mapping[str, str] = field(default_factory=dict)
    cut: Callable[[np.ndarray, str, int], np.ndarray] = whole
    expected: Callable[[str], list[str]] = lambda split: []
    drawn_for: str = 'action'
    test_history: int = 0
    shown_labels: tuple[int, ...] = (80, 160, 320, 400, 560, 1000)
    other_average: tuple[str, ...] = ()


def label_frames(dataset: Dataset, output_n: int) -> list[int]:
    """Finds the indices, among `output_n` predicted frames, of the field's labels; all of them where it has none there."""
    labels = dataset.skeleton.label_ms(output_n)
    usual = [labels.index(label) for label in dataset.shown_labels if label in labels]
    return usual or list(range(output_n))


def find_root(data_dir: str, dataset: Dataset) -> Path:
    """The dataset's own folder: one of `dataset.folders` in `data_dir`, or itself. InputError where there is none."""
    base = Path(data_dir)
    candidates = [*(base / folder for folder in dataset.folders), base]
    with reading(base):
        for candidate in candidates:
            if any((candidate / name).is_dir() for name in dataset.inside):
                return candidate
        if not base.exists():
            raise InputError(f'--data_dir {data_dir}: no such folder')
    looked = ', '.join(str(candidate) for candidate in candidates)
    raise InputError(f'--data_dir {data_dir}: no {dataset.name} data there; looked for folders {", ".join(dataset.inside)} '
                     f'in {looked}: give the folder that holds {dataset.folders[0]}/, or {dataset.folders[0]}/ itself')


def text_file(path: Path) -> Path:
    """The file on disk for a text file's name: itself, or its gzip'd form where only that is there."""
    packed = path.with_name(path.name + '.gz')
    return packed if packed.exists() and not path.exists() else path


def missing_files(dataset: Dataset, root: Path, split: str, *, allow: bool) -> list[str]:
    """Files of a fixed dataset that are not there; unless `allow`, the first of them is an InputError."""
    missing = [name for name in dataset.expected(split) if not text_file(root / name).exists()]
    if missing and not allow:
        others = f' ({len(missing) - 1} other files of {split} are missing too)' if len(missing) > 1 else ''
        raise InputError(f'{root / missing[0]}: no such file{others}; add --allow_missing to go on without')
    if missing:
        log.warning('%s: %d of %d files are missing: %s', split, len(missing), len(dataset.expected(split)),
                    ', '.join(missing))
    return missing


def read_exponential_maps(path: Path, skeleton: Skeleton) -> np.ndarray:
    """(F, J, 3) positions from a text file of 3 + 3 J columns: translation, then an exponential map for each joint.

    Every `stride`-th row is used. Global translation and rotation (the first six columns) are dropped.
    """
    rows = read_numbers(path, 3 + 3 * len(skeleton.joints))[:: skeleton.stride]
    rotations = rows[:, 3:].reshape(len(rows), -1, 3)
    rotations[:, 0] = 0
    return joint_positions(rotations, skeleton).astype(np.float32)


def read_recordings(dataset: Dataset, root: Path, split: str, window: int) -> list[Recording]:
    """Returns the motion of 'train', 'validation' or 'test', for windows of that many frames."""
    part = dataset.part_of.get(split, split)
    recordings = load_recordings(root, part, dataset.files(root, part), dataset.read, dataset.skeleton)
    cut = [replace(recording, frames=dataset.cut(recording.frames, split, window)) for recording in recordings]
    return [recording for recording in cut if len(recording.frames)]


def load_recordings(root: Path, part: str, files: list[SourceFile], read: Callable[[Path], list[np.ndarray]],
                    skeleton: Skeleton) -> list[Recording]:
    """The recordings in `files` (all below `root`), from the cache of this part of the dataset or freshly parsed."""
    names = [str(file.path.relative_to(root)) for file in files]
    for file in files:
        if not file.path.is_file():
            raise InputError(f'{file.path}: is no file, or a link that leads to none')
    cached = read_cache(root, part, names, skeleton)
    if cached is None:
        cached = []
        with Progress(files, desc=f'reading {root.name} {part}', unit=' files') as bar:
            for name, file in zip(names, bar, strict=True):
                bar.set_postfix_str(f'{name}, {sum(len(frames) for _, frames in cached)} frames')
                cached += [(name, frames) for frames in read(file.path)]
        write_cache(root, part, names, skeleton, cached)
    action_of = {name: file.action for name, file in zip(names, files, strict=True)}
    return [Recording(action_of[name], name, frames) for name, frames in cached]
