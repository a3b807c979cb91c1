"""Sample datasets of invented motion in the on-disk formats of CMU mocap, Human3.6M and 3DPW.

They let every command run where the recordings are not at hand; their errors compare with nothing in the literature.
A folder made here holds a marker file that lists what was written, and nothing is written over data without it.
"""
import io
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.common.files import remove_leftovers, whole_file, write_text
from utils.data import cmu, h36m
from utils.data.skeleton import CMU, THREEDPW
from utils.data.synthetic.actions import make_motion
from utils.data.synthetic.body import CMU_BODY, H36M_BODY, THREEDPW_BODY, Body, pose

MARKER = 'SAMPLE_DATA.txt'
NOTICE = '# Synthetic motion made by tools/make_sample_data.py, not a recording. It may overwrite these files:'
SIZES = ('small', 'full')

CMU_HOLE = ('directing_traffic', 2)  # the benchmark's files are not always numbered without a hole
# Split -> scene -> the action of each person in it.
THREEDPW_SCENES = {
    'train': {'courtyard_basketball': ('basketball', 'soccer'),
              'courtyard_giveDirections': ('directions', 'discussion'),
              'outdoors_slalom': ('running',), 'downtown_strolling': ('walking',)},
    'validation': {'downtown_walkDownhill': ('walking',), 'courtyard_warmWelcome': ('greeting', 'greeting')},
    'test': {'downtown_walking': ('walkingtogether', 'walkingtogether'), 'downtown_runForBus': ('running',),
             'office_phoneCall': ('phoning',)},
}
ASF_UNIT_MM = 70 * CMU.mm_scale_to_true  # CMU root positions are in ASF units

Plan = dict[str, int]  # path inside the dataset folder -> raw frames
Encode = Callable[[str, int, np.random.Generator], bytes]  # path inside the dataset folder, raw frames -> file content


def is_sample(folder: Path) -> bool:
    """Whether a dataset's folder was made here; 3DPW's is known by its sequenceFiles too."""
    return any((place / MARKER).is_file() for place in (folder, folder.parent))


def plan_cmu(size: str = 'small', seed: int = 0) -> Plan:
    """The CMU files of a size."""
    train, lengths = (3, (300, 900)) if size == 'small' else (5, (500, 4000))
    paths = [f'train/{action}/{action}_{k}.txt' for action in cmu.ACTIONS for k in range(1, train + 1)
             if (action, k) != CMU_HOLE]
    plan = draw_lengths(paths, lengths, seed)
    tests = [f'test/{action}/{action}_1.txt' for action in cmu.ACTIONS]
    return plan | draw_lengths(tests, (400, 700) if size == 'small' else (400, 2500), seed)


def plan_h36m(size: str = 'small', seed: int = 0) -> Plan:
    """The Human3.6M files of a size; 'full' has about the recordings' 530,000 frames."""
    paths = [path for split in h36m.SUBJECTS for path in h36m.DATASET.expected(split)]
    return draw_lengths(paths, (390, 450) if size == 'small' else (1500, 3550), seed)


def plan_threedpw(size: str = 'small', seed: int = 0) -> Plan:
    """The 3DPW files of a size."""
    takes, lengths = (1, (150, 300)) if size == 'small' else (6, (400, 1200))
    paths = [f'sequenceFiles/{split}/{scene}_{take:02d}.pkl' for split, scenes in THREEDPW_SCENES.items()
             for scene in scenes for take in range(takes)]
    return draw_lengths(paths, lengths, seed)


def draw_lengths(paths: list[str], bounds: tuple[int, int], seed: int) -> Plan:
    return {path: int(file_rng(path + ' length', seed).integers(*bounds)) for path in paths}


def file_rng(path: str, seed: int) -> np.random.Generator:
    """A generator of each file's own, so that no file depends on which others are made."""
    return np.random.default_rng([seed, zlib.crc32(path.encode())])


def write_cmu(root: Path, *, size: str = 'small', seed: int = 0) -> list[Path]:
    """Write root/cmu_mocap, 120 Hz, and return its files. ValueError if that folder holds anything not made here."""
    return write_dataset(root / 'cmu_mocap', plan_cmu(check_size(size), seed), encode_cmu, size=size, seed=seed)


def write_h36m(root: Path, *, size: str = 'small', seed: int = 0) -> list[Path]:
    """Write root/h36m, 50 fps, and return its files. ValueError if that folder holds anything not made here."""
    return write_dataset(root / 'h36m', plan_h36m(check_size(size), seed), encode_h36m, size=size, seed=seed)


def write_threedpw(root: Path, *, size: str = 'small', seed: int = 0) -> list[Path]:
    """Write root/3dpw, 30 fps, and return its files. ValueError if that folder holds anything not made here."""
    return write_dataset(root / '3dpw', plan_threedpw(check_size(size), seed), encode_threedpw, size=size, seed=seed)


def check_size(size: str) -> str:
    if size not in SIZES:
        raise ValueError(f'size {size!r} of sample data: choose one of {", ".join(SIZES)}')
    return size


def encode_cmu(path: str, frames: int, rng: np.random.Generator) -> bytes:
    rows = exponential_map_rows(Path(path).parent.name, frames, CMU_BODY, units_per_metre=1000 / ASF_UNIT_MM, rng=rng)
    rows[0, 3:] = 0  # the recordings' first row is a T-pose: here the rest pose
    return text(rows)


def encode_h36m(path: str, frames: int, rng: np.random.Generator) -> bytes:
    action = Path(path).stem.rsplit('_', 1)[0]
    return text(exponential_map_rows(action, frames, H36M_BODY, units_per_metre=1000, rng=rng))


def encode_threedpw(path: str, frames: int, rng: np.random.Generator) -> bytes:
    split, name = Path(path).parts[-2:]
    actions = THREEDPW_SCENES[split][name.rsplit('_', 1)[0]]
    people = []
    for k, action in enumerate(actions):
        motion = make_motion(action, frames, fps=THREEDPW.raw_fps, rng=rng)
        _, positions, path_of_root = pose(motion, THREEDPW_BODY)
        stature = rng.uniform(0.92, 1.08)
        world = stature * (positions + path_of_root[:, None]) + [1.5 * k, 0, 0]
        people.append(world.reshape(frames, -1))
    return pickle.dumps({'sequence': Path(name).stem, 'jointPositions': people}, protocol=2)


def exponential_map_rows(action: str, frames: int, body: Body, *, units_per_metre: float,
                         rng: np.random.Generator) -> np.ndarray:
    """(F, 3 + 3 J): root position in the file's unit, then each joint's exponential map in radians."""
    motion = make_motion(action, frames, fps=body.skeleton.raw_fps, rng=rng)
    rotations, _, path = pose(motion, body)
    return np.concatenate([path * units_per_metre, rotations.reshape(frames, -1)], axis=1)


def text(rows: np.ndarray) -> bytes:
    """Comma-separated lines of numbers with 7 significant digits."""
    lines = io.BytesIO()
    np.savetxt(lines, rows, fmt='%.7g', delimiter=',')
    return lines.getvalue()


def write_dataset(folder: Path, plan: Plan, encode: Encode, *, size: str, seed: int) -> list[Path]:
    remove_leftovers(folder)
    claim(folder, plan)
    for path, frames in tqdm(plan.items(), desc=folder.name, unit='file', disable=size == 'small'):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / path) as temporary:
            temporary.write_bytes(encode(path, frames, file_rng(path, seed)))
    return [folder / path for path in plan]


def claim(folder: Path, plan: Plan) -> None:
    """Make the folder and its marker, and remove files of an earlier plan. ValueError if the folder is not ours."""
    marker = folder / MARKER
    present = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}
    listed = set(marker.read_text().splitlines()[1:]) if marker.is_file() else set()
    unmarked = present and MARKER not in present
    replaced = (present - listed) & set(plan)
    if unmarked or replaced or (folder.exists() and not folder.is_dir()):
        raise ValueError(f'{folder} holds data that is not sample data of this tool: choose another folder')
    folder.mkdir(parents=True, exist_ok=True)
    # A stopped run leaves some of these files: the marker names old and new ones before the first change.
    write_text(marker, '\n'.join([NOTICE, *sorted(listed | set(plan)), '']))
    for path in present & listed - set(plan):
        (folder / path).unlink()
    write_text(marker, '\n'.join([NOTICE, *plan, '']))
