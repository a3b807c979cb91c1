"""Files of a person's own motion: .npy positions, the benchmark's .txt, ASF/AMC, BVH with CMU's joints."""
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError, reading
from utils.data.lookup import dataset_named
from utils.data.skeleton import CMU
from utils.data.text import read_numbers
from utils.mocap.asf_amc import JOINT_OF_BONE, find_asf, read_amc, read_asf
from utils.mocap.bvh import read_bvh
from utils.mocap.motion import UNITS_MM, Motion, motion_of_positions, motion_of_rotations, unit_mm

# Rest directions that a skeleton must share with the benchmark's, or its rotations mean another pose.
LIMBS = ('LeftLeg', 'LeftFoot', 'LeftForeArm', 'LeftHand', 'RightLeg', 'RightFoot', 'RightForeArm', 'RightHand')
REST_TOLERANCE_DEGREES = 10


def read_motion(path: Path, dataset: str, *, fps: float | None = None, units: str | None = None,
                asf: Path | None = None) -> Motion:
    """A file's motion for a model of that dataset: .npy positions, the benchmark's .txt, .amc or .bvh.

    fps: frames per second, instead of the file's or dataset's own. units: of a .npy's positions, or of a .bvh's root.
    asf: the skeleton of an .amc, if not beside it. InputError if something is missing, contradicts or cannot be read.
    """
    kind = path.suffix.lower()
    if kind not in ('.npy', '.txt', '.amc', '.bvh'):
        raise InputError(f'{path}: is none of .npy, .txt, .amc, .bvh')
    if kind in ('.amc', '.bvh') and dataset != 'cmu' or kind == '.txt' and dataset == '3dpw':
        raise InputError(f'{path}: {kind} is not read for a {dataset} model; give joint positions as .npy')
    if units and kind in ('.txt', '.amc'):
        raise InputError(f'{path}: {kind} has a unit of its own: leave --units out')
    if asf and kind != '.amc':
        raise InputError(f'{path}: --asf belongs to an .amc file')
    if kind == '.npy':
        return read_positions(path, dataset, fps, units)
    if kind == '.txt':
        return read_benchmark(path, dataset, fps)
    return read_asf_amc(path, asf, fps) if kind == '.amc' else read_cmu_bvh(path, fps, units)


def read_positions(path: Path, dataset: str, fps: float | None, units: str | None) -> Motion:
    """A .npy array of positions, whose frame rate and unit have to be told."""
    if fps is None or units is None:
        raise InputError(f'{path}: .npy does not tell its {"frame rate: add --fps" if fps is None else "unit: add --units"}')
    try:
        with reading(path):
            positions = np.lib.format.open_memmap(path, mode='r')  # admits no pickles, and no more numbers than the file has
    except InputError:
        raise
    except Exception:  # a damaged header, which is Python code to numpy, may raise any
        raise InputError(f'{path}: is not a readable .npy of plain numbers') from None
    try:
        return motion_of_positions(positions, dataset, fps=fps, units=units)
    except InputError as error:
        raise InputError(f'{path}: {error}') from None


def read_benchmark(path: Path, dataset: str, fps: float | None) -> Motion:
    """A text file in the benchmark's layout. CMU's root turns, which it puts together in the wrong order, are put right."""
    skeleton = dataset_named(dataset).skeleton
    rows = read_numbers(path, 3 + 3 * len(skeleton.joints))
    root, unit = Rotation.from_rotvec(rows[:, 3:6]).inv(), 1.0
    if dataset == 'cmu':
        z, x, y = root.as_euler('ZXY').T
        root, unit = Rotation.from_euler('ZYX', np.stack([z, y, x], axis=-1)), UNITS_MM['asf']
    return motion_of_rotations(rows[:, 3:].reshape(len(rows), -1, 3), skeleton, root=root, position=rows[:, :3] * unit,
                               fps=fps or skeleton.raw_fps)


def read_asf_amc(path: Path, asf_path: Path | None, fps: float | None) -> Motion:
    """A CMU trial and its skeleton. The recordings are at 120 Hz, which their files do not say."""
    asf_path = asf_path or find_asf(path)
    asf = read_asf(asf_path)
    bone_of = {joint: bone for bone, joint in JOINT_OF_BONE.items()}
    check_rest(asf_path, {name: np.array(asf.bones[bone_of[CMU.rows[CMU.joints.index(name)][1]]].direction) for name in LIMBS})
    trial = read_amc(path, asf)
    return motion_of_rotations(trial.rotations, CMU, root=Rotation.from_euler('xyz', trial.root_degrees, degrees=True),
                               position=trial.position * asf.unit_mm, fps=fps or CMU.raw_fps)


def read_cmu_bvh(path: Path, fps: float | None, units: str | None) -> Motion:
    """A BVH file with CMU's joints, such as the public conversions of the database."""
    bvh = read_bvh(path)
    named = {name: parent for name, parent, *_ in CMU.rows if not name.endswith('Site')}
    for name in {**named, **bvh.joints}:
        if name not in named or name not in bvh.joints or bvh.joints[name].parent != named[name]:
            what = ('is not there' if name not in bvh.joints else 'is not a joint of CMU' if name not in named else
                    f'hangs on {bvh.joints[name].parent}, expected {named[name]}')
            raise InputError(f'{path}: joint {name} {what}; for another skeleton give CMU\'s joint positions as .npy')
    check_rest(path, {name: bvh.joints[name].offset for name in LIMBS})
    rotations = np.zeros((len(bvh.values), len(CMU.joints), 3))
    for name in named:
        rotations[:, CMU.joints.index(name)] = bvh.rotation(name).inv().as_rotvec()
    return motion_of_rotations(rotations, CMU, root=bvh.rotation(CMU.joints[0]), fps=fps or bvh.fps,
                               position=bvh.position(CMU.joints[0]) * unit_mm(units) if units else None)


def check_rest(path: Path, vectors: dict[str, np.ndarray]) -> None:
    """InputError if a limb's rest direction is not the benchmark's."""
    for name, vector in vectors.items():
        rest = CMU.offsets[CMU.joints.index(name)]
        cosine = vector @ rest / max(float(np.linalg.norm(vector) * np.linalg.norm(rest)), 1e-9)
        if cosine < np.cos(np.deg2rad(REST_TOLERANCE_DEGREES)):
            angle = np.rad2deg(np.arccos(max(cosine, -1)))
            raise InputError(f'{path}: the rest pose is not CMU\'s: {name} lies {angle:.0f} degrees off, so the rotations mean '
                             'another pose; give joint positions as .npy')
