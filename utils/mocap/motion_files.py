"""Files of a person's own motion: .npy positions, the benchmark's .txt, ASF/AMC, BVH of any humanoid."""
import dataclasses
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError, check_not_pointer, reading
from utils.common.files import open_regular
from utils.data.lookup import dataset_named
from utils.data.skeleton import CMU
from utils.data.text import read_numbers
from utils.mocap.asf_amc import T_POSE, find_asf, read_amc, read_asf
from utils.mocap.bvh import Bvh, read_bvh
from utils.mocap.joints import MODEL_TABLE, find_joints
from utils.mocap.motion import UNITS_MM, Motion, motion_of_joints, motion_of_positions, motion_of_rotations
from utils.mocap.pace import pace_note

KINDS = ('.npy', '.txt', '.amc', '.bvh')
ASSUMED_120 = ('120 fps (assumed: the file does not say; about a fifth of CMU\'s trials are 60 fps, and at '
               'the wrong rate a prediction is worse than none; --fps says which)')
CONVERTED_120 = ('120 fps (assumed: conversions of CMU\'s database write 0.0083333 for its trials of 60 fps '
                 'too; --fps says which)')


def read_motion(path: str | Path, dataset: str, *, fps: float | None = None, units: str | None = None,
                asf: str | Path | None = None, joints: str | Path | None = None, up: str | None = None,
                mirror_x: bool = False) -> Motion:
    """Reads a file's motion for a model of that dataset: .npy positions, the benchmark's .txt, .amc or .bvh.

    fps: frames per second, instead of the file's or dataset's own.
    units: of a .npy's or a .bvh's positions.
    asf: the skeleton of an .amc, if not beside it.
    joints: of a .npy or .bvh, a built-in table or a CSV file.
    up: of a .npy or .bvh, the axis that points up, if not y.
    mirror_x: its axes are left-handed.
    InputError if something is missing, contradicts or cannot be read.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise InputError(f'{path}: is none of {", ".join(KINDS)}')
    if kind == '.amc' and dataset != 'cmu' or kind == '.txt' and dataset == '3dpw':
        raise InputError(f'{path}: {kind} is not read for a {dataset} model; give a .bvh, or joint '
                         f'positions as .npy')
    if units and kind in ('.txt', '.amc'):
        raise InputError(f'{path}: {kind} has a unit of its own: leave --units out')
    if (joints or up or mirror_x) and kind in ('.txt', '.amc'):
        raise InputError(f'{path}: {kind} has joints and axes of its own: leave --joints, --up and '
                         f'--mirror-x out')
    if asf and kind != '.amc':
        raise InputError(f'{path}: --asf belongs to an .amc file')
    if kind == '.txt':
        motion = read_benchmark(path, dataset, fps)
    elif kind == '.amc':
        motion = read_asf_amc(path, Path(asf) if asf else None, fps)
    else:
        try:
            motion = (read_positions(path, dataset, fps, units, joints, up, mirror_x) if kind == '.npy' else
                      motion_of_bvh(read_bvh(path), dataset, fps, units, joints, up, mirror_x))
        except InputError as error:
            if str(error).startswith(str(InputError(path))):
                raise
            raise InputError(f'{path}: {error}') from None
    return dataclasses.replace(motion, notes=(*motion.notes,
                                              *pace_note(motion.body, motion.position, motion.fps,
                                                                        dataset_named(dataset).skeleton)))


def read_positions(path: Path, dataset: str, fps: float | None, units: str | None, joints: str | Path | None,
                   up: str | None, mirror_x: bool) -> Motion:
    """Reads a .npy array of positions, whose frame rate and unit have to be told."""
    if fps is None or units is None:
        raise InputError(f'{path}: .npy does not tell its '
                         f'{"frame rate: add --fps" if fps is None else "unit: add --units"}')
    with reading(path), open_regular(path) as file:
        check_not_pointer(path, file.read(100))
    try:
        with reading(path):
            # admits no pickles, and no more numbers than the file has
            positions = np.lib.format.open_memmap(path, mode='r')
    except InputError:
        raise
    except Exception:  # a damaged header, which is Python code to numpy, may raise any
        raise InputError(f'{path}: is not a readable .npy of plain numbers') from None
    return motion_of_positions(positions, dataset, fps=fps, units=units, joints=joints, up=up,
                               mirror_x=mirror_x)


def read_benchmark(path: Path, dataset: str, fps: float | None) -> Motion:
    """Reads a text file in the benchmark's layout.

    CMU's root turns, put together in the wrong order, are put right.
    """
    skeleton = dataset_named(dataset).skeleton
    rows = read_numbers(path, 3 + 3 * len(skeleton.joints))
    if len(rows) < 2:
        raise InputError(f'{path}: one row is no motion')
    root, unit = Rotation.from_rotvec(rows[:, 3:6]).inv(), 1.0
    notes: tuple[str, ...] = ()
    rotations = rows[:, 3:].reshape(len(rows), -1, 3)
    if dataset == 'cmu':
        z, x, y = root.as_euler('ZXY').T
        root, unit = Rotation.from_euler('ZYX', np.stack([z, y, x], axis=-1)), UNITS_MM['asf']
        notes = () if fps else (ASSUMED_120,)
    return motion_of_rotations(rotations, dataset, root=root, position=rows[:, :3] * unit,
                               fps=fps or skeleton.raw_fps,
                               notes=notes, t_pose=dataset == 'cmu' and is_t_pose(rotations[0]))


def is_t_pose(rotations: np.ndarray) -> bool:
    """Tells whether one frame's exponential maps (J, 3) are those of the benchmark's T-pose."""
    expected = np.zeros_like(rotations)
    for joint, degrees in T_POSE.items():
        expected[CMU.joints.index(joint)] = np.deg2rad(degrees)
    return bool(np.abs(rotations - expected)[1:].max() < 1e-3)


def read_asf_amc(path: Path, asf_path: Path | None, fps: float | None) -> Motion:
    """Reads a CMU trial and its skeleton. Neither file tells the frame rate."""
    asf = read_asf(asf_path or find_asf(path))
    trial = read_amc(path, asf)
    if len(trial.position) < 2:
        raise InputError(f'{path}: one frame is no motion')
    return motion_of_rotations(trial.rotations, 'cmu',
                               root=Rotation.from_euler('xyz', trial.root_degrees, degrees=True),
                               position=trial.position * asf.unit_mm, fps=fps or CMU.raw_fps,
                               notes=() if fps else (ASSUMED_120,))


def motion_of_bvh(bvh: Bvh, dataset: str, fps: float | None, units: str | None, joints: str | Path | None,
                  up: str | None, mirror_x: bool) -> Motion:
    """Makes a motion of any humanoid's BVH: positions are what counts, so no rest pose has to be the model's.

    With CMU's joint names the root's rotation is taken as the file has it, unless the hips speak against it.
    """
    names = list(bvh.joints)
    table, found = find_joints(names, joints)
    if len(bvh.values) < 2:
        raise InputError('one frame is no motion')
    positions = bvh.positions()
    places = {joint: positions[:, list(columns)].mean(1) for joint, columns in found.items()}
    is_cmu = table in ('cmu', 'cmu_bones')
    root = bvh.rotation(names[found['pelvis'][0]]) if is_cmu and found['pelvis'][0] == 0 else None
    notes = bvh.notes
    if fps is None and is_cmu and bvh.frame_time.startswith('.00833') | bvh.frame_time.startswith('0.00833'):
        notes += (CONVERTED_120,)
    motion = motion_of_joints(places, dataset,
                              table=MODEL_TABLE[dataset] if is_cmu and dataset == 'cmu' else table,
                              fps=fps or bvh.fps, units=units, up=up, mirror_x=mirror_x, root=root,
                              notes=notes)
    turns = [joint.first + k for joint in bvh.joints.values() for k, channel in enumerate(joint.channels)
             if channel.endswith('rotation')]
    at_rest = np.abs(bvh.values[:2, turns]).max(1) < 1e-6
    return dataclasses.replace(motion, table=table, t_pose=bool(at_rest[0] and not at_rest[1]))
