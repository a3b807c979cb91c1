"""Defines what a dataset is, and reads its folder into recordings, the same way for all datasets."""
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
PROTOCOL_SEED = 1234567890  # as in the field's code: the drawn window starts are part of the protocol
HISTORY = 50  # frames that drawn windows leave room for before the prediction, however few are observed


@dataclass(frozen=True)
class SourceFile:
    """One file on disk and the action its windows count for."""

    path: Path
    action: str


@dataclass(frozen=True)
class Recording:
    """One person's motion.

    source: name of its file.
    frames: (F, J, 3) root-centred joint positions in mm, float32, at the used frame rate.
    """

    action: str
    source: str
    frames: np.ndarray


def whole(frames: np.ndarray, split: str, window: int) -> np.ndarray:
    """Returns a recording (F, J, 3) as it is, for splits that have files of their own."""
    return frames


@dataclass(frozen=True)
class Dataset:
    """The rules of one dataset: tables, and functions of one file or of lengths alone.

    name: in checkpoints and for --dataset.
    title: in tables.
    folders: names of its own folder under --data_dir.
    inside: subfolders; any of them shows that a folder is the dataset's own.
    files(root, part): lists the files of a part of the dataset. Raises InputError where there are none.
    read(path): reads each person in a file as (F, J, 3) root-centred positions in mm, float32.
    test_starts(lengths, count, input_n, output_n): draws the window starts of one action's test recordings.
    part_of: split -> the part whose files it is cut out of, where it has no files of its own.
    cut(frames, split, window): returns what of a recording is in a split, for windows of that many frames.
    expected(split): names the files, below the root, of a dataset that is a fixed set; else none.
    drawn_for: what each draw of test windows is made for, in words.
    test_history: frames that all-windows testing leaves room for before the prediction, at the start of a
        recording, where that is more than the observed ones.
    file_format: the format of the expected files, in words.
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
    file_format: str = ''
    drawn_for: str = 'action'
    test_history: int = 0
    shown_labels: tuple[int, ...] = (80, 160, 320, 400, 560, 1000)
    other_average: tuple[str, ...] = ()


def label_frames(dataset: Dataset, output_n: int) -> list[int]:
    """Returns the indices, among `output_n` predicted frames, of those with the field's labels.

    All frames are returned where none has such a label.
    """
    labels = dataset.skeleton.label_ms(output_n)
    usual = [labels.index(label) for label in dataset.shown_labels if label in labels]
    return usual or list(range(output_n))


def find_root(data_dir: str, dataset: Dataset) -> Path:
    """Finds the dataset's own folder: one of `dataset.folders` in `data_dir`, or `data_dir` itself.

    Raises InputError where there is none.
    """
    base = Path(data_dir)
    candidates = [*(base / folder for folder in dataset.folders), base]
    with reading(base):
        for candidate in candidates:
            if any((candidate / name).is_dir() for name in dataset.inside):
                return candidate
        if not base.exists():
            raise InputError(f'--data_dir {data_dir}: no such folder')
    looked = ', '.join(str(candidate) for candidate in candidates)
    raise InputError(f'--data_dir {data_dir}: no {dataset.name} data there; looked for folders '
                     f'{", ".join(dataset.inside)} in {looked}: give the folder that holds '
                     f'{dataset.folders[0]}/, or {dataset.folders[0]}/ itself')


def text_file(path: Path) -> Path:
    """Returns the file on disk for a text file's name: the gzip form where only that is there."""
    packed = path.with_name(path.name + '.gz')
    return packed if packed.exists() and not path.exists() else path


def missing_files(dataset: Dataset, root: Path, split: str, *, allow: bool) -> list[str]:
    """Lists the files of a fixed dataset that are not there. Raises InputError for them unless `allow`."""
    missing = [name for name in dataset.expected(split) if not text_file(root / name).exists()]
    if missing and len(missing) == len(dataset.expected(split)):
        raise InputError(f'{root}: holds none of the {split} files, {missing[0]} and {len(missing) - 1} '
                         f'more, which are {dataset.file_format}: see docs/data.md')
    if missing and not allow:
        others = f' ({len(missing) - 1} other files of {split} are missing too)' if len(missing) > 1 else ''
        raise InputError(f'{root / missing[0]}: no such file{others}; add --allow_missing to go on without')
    if missing:
        log.warning('%s: %d of %d files are missing: %s', split, len(missing), len(dataset.expected(split)),
                    ', '.join(missing))
    return missing


def read_exponential_maps(path: Path, skeleton: Skeleton) -> np.ndarray:
    """Reads (F, J, 3) root-centred positions in mm, float32, from a text file.

    The file has 3 + 3 J columns: the translation, then an exponential map for each joint.
    Every `stride`-th row is used.
    Global translation and rotation, the first six columns, are dropped.
    """
    rows = read_numbers(path, 3 + 3 * len(skeleton.joints))[:: skeleton.stride]
    rotations = rows[:, 3:].reshape(len(rows), -1, 3)
    rotations[:, 0] = 0
    return joint_positions(rotations, skeleton).astype(np.float32)


def read_recordings(dataset: Dataset, root: Path, split: str, window: int, *,
                    refit: bool = False) -> list[Recording]:
    """Reads the recordings of 'train', 'validation' or 'test'.

    window: observed and predicted frames together.
    refit: leaves training recordings whole, with what is cut off for validation.
    """
    part = dataset.part_of.get(split, split)
    recordings = load_recordings(root, part, dataset.files(root, part), dataset.read, dataset.skeleton)
    cut = whole if refit and split == 'train' else dataset.cut
    parts = [replace(recording, frames=cut(recording.frames, split, window)) for recording in recordings]
    return [recording for recording in parts if len(recording.frames)]


def load_recordings(root: Path, part: str, files: list[SourceFile], read: Callable[[Path], list[np.ndarray]],
                    skeleton: Skeleton) -> list[Recording]:
    """Returns the recordings in `files` (all below `root`), from the cache or parsed anew.

    Raises InputError where one is no file, or cannot be parsed.
    """
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
