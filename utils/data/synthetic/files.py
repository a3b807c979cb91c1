"""Writes synthetic datasets in the on-disk formats of CMU mocap, Human3.6M and 3DPW.

They let every command run where the recordings are not at hand.
Errors on them compare with nothing in the literature.
A folder made here holds a marker file that lists what was written. Data without it is never written over.
"""
import io
import pickle
import zlib
from pathlib import Path

import numpy as np

from utils.common.files import remove_leftovers, whole_file, write_text
from utils.data import cmu, h36m
from utils.data.marker import MARKER
from utils.data.skeleton import CMU, THREEDPW
from utils.data.synthetic.actions import make_motion
from utils.data.synthetic.body import CMU_BODY, H36M_BODY, THREEDPW_BODY, pose

NOTICE = ('# Synthetic motion made by tools/make_sample_data.py, not a recording. '
          'It may overwrite these files:')
FOLDERS = {'h36m': 'h36m', 'cmu': 'cmu_mocap', '3dpw': '3dpw'}
CMU_HOLE = 'train/directing_traffic/directing_traffic_2.txt'  # the benchmark's numbering has holes too
# Sequence of 3DPW -> the action of each person in it.
SCENES = {'train/courtyard_basketball_00': ('basketball', 'soccer'),
          'train/courtyard_giveDirections_00': ('directions', 'discussion'),
          'train/outdoors_slalom_00': ('running',),
          'train/downtown_strolling_00': ('walking',), 'validation/downtown_walkDownhill_00': ('walking',),
          'validation/courtyard_warmWelcome_00': ('greeting', 'greeting'),
          'test/downtown_walking_00': ('walkingtogether', 'walkingtogether'),
          'test/downtown_runForBus_00': ('running',), 'test/office_phoneCall_00': ('phoning',)}
# Body, and units of the root's position in a metre. CMU's are ASF units: 70 published mm each.
TEXT_FORMATS = {'h36m': (H36M_BODY, 1000.0), 'cmu': (CMU_BODY, 1000 / (70 * CMU.mm_scale_to_true))}

Frames = dict[str, int]  # path inside the dataset folder -> frames to write


def file_rng(path: str, seed: int) -> np.random.Generator:
    """Returns a file's own generator, so that no file depends on which others are made."""
    return np.random.default_rng([seed, zlib.crc32(path.encode())])


def draw_lengths(paths: list[str], bounds: tuple[int, int], seed: int) -> Frames:
    """Draws the number of frames of each file, between two bounds."""
    return {path: int(file_rng(path + ' length', seed).integers(*bounds)) for path in paths}


def plan(dataset: str, seed: int = 0) -> Frames:
    """Returns the files of 'h36m', 'cmu' or '3dpw' with their numbers of frames."""
    if dataset == 'h36m':
        takes = [path for split in h36m.SUBJECTS for path in h36m.DATASET.expected(split)]
        return draw_lengths(takes, (390, 450), seed)
    if dataset == '3dpw':
        return draw_lengths([f'sequenceFiles/{scene}.pkl' for scene in SCENES], (150, 300), seed)
    train = [f'train/{action}/{action}_{k}.txt' for action in cmu.ACTIONS for k in (1, 2, 3)]
    test = [f'test/{action}/{action}_1.txt' for action in cmu.ACTIONS]
    train.remove(CMU_HOLE)
    return draw_lengths(train, (300, 900), seed) | draw_lengths(test, (400, 700), seed)


def encode(dataset: str, path: str, frames: int, rng: np.random.Generator) -> bytes:
    """Returns the content of one file: rows of numbers, or for 3DPW a pickle.

    path: below the dataset's folder; it names the action.
    """
    if dataset == '3dpw':
        content = {'sequence': Path(path).stem, 'jointPositions': people(path, frames, rng)}
        return pickle.dumps(content, protocol=2)
    body, units_per_metre = TEXT_FORMATS[dataset]
    action = Path(path).stem.rsplit('_', 1)[0]
    rotations, _, root = pose(make_motion(action, frames, fps=body.skeleton.raw_fps, rng=rng), body)
    rows = np.concatenate([root * units_per_metre, rotations.reshape(frames, -1)], axis=1)  # (F, 3 + 3 J)
    if dataset == 'cmu':
        rows[0, 3:] = 0  # the recordings' first row is a T-pose: here the rest pose
    lines = io.BytesIO()
    np.savetxt(lines, rows, fmt='%.7g', delimiter=',')
    return lines.getvalue()


def people(path: str, frames: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Returns the positions (F, 72) of each person in a sequence of 3DPW, in metres, 1.5 m apart."""
    found = []
    for k, action in enumerate(SCENES[path.removeprefix('sequenceFiles/').removesuffix('.pkl')]):
        _, positions, root = pose(make_motion(action, frames, fps=THREEDPW.raw_fps, rng=rng), THREEDPW_BODY)
        stature = rng.uniform(0.92, 1.08)
        world = stature * (positions + root[:, None]) + [1.5 * k, 0, 0]  # (F, J, 3)
        found.append(world.reshape(frames, -1))
    return found


def write(dataset: str, root: Path, seed: int = 0) -> Frames:
    """Writes a dataset's folder in `root`, and returns its files with their numbers of frames.

    Raises ValueError if that folder holds anything not made here.
    """
    folder, frames = root / FOLDERS[dataset], plan(dataset, seed)
    remove_leftovers(folder)
    claim(folder, frames)
    for path, count in frames.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / path) as temporary:
            temporary.write_bytes(encode(dataset, path, count, file_rng(path, seed)))
    return frames


def claim(folder: Path, planned: Frames) -> None:
    """Makes the folder and its marker, and removes files of an earlier run.

    Raises ValueError if the folder holds anything not made here.
    """
    marker = folder / MARKER
    present = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}
    listed = set(marker.read_text().splitlines()[1:]) if marker.is_file() else set()
    unmarked = present and MARKER not in present
    replaced = (present - listed) & set(planned)
    if unmarked or replaced or (folder.exists() and not folder.is_dir()):
        raise ValueError(f'{folder} holds data that is not synthetic data of this tool: choose another '
                         'folder')
    folder.mkdir(parents=True, exist_ok=True)
    # The marker names old and new files before the first change, as a stopped run leaves some of both.
    write_text(marker, '\n'.join([NOTICE, *sorted(listed | set(planned)), '']))
    for path in present & listed - set(planned):
        (folder / path).unlink()
    write_text(marker, '\n'.join([NOTICE, *planned, '']))
