"""Acclaim skeletons and motions (ASF/AMC) of the CMU motion capture database, and the benchmark's rows made of them."""
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError, reading
from utils.data.skeleton import CMU

INCH_MM = 25.4
LARGEST = 1e6  # of all numbers in motion files: positions in any unit, turns in degrees that may count on past 360
ROOT_ORDER = ['TX', 'TY', 'TZ', 'RX', 'RY', 'RZ']
# The bones of the database's skeletons; the benchmark names each by the joint that it turns. End sites have no bone.
JOINT_OF_BONE = {
    'lhipjoint': 'LHipJoint', 'lfemur': 'LeftUpLeg', 'ltibia': 'LeftLeg', 'lfoot': 'LeftFoot', 'ltoes': 'LeftToeBase',
    'rhipjoint': 'RHipJoint', 'rfemur': 'RightUpLeg', 'rtibia': 'RightLeg', 'rfoot': 'RightFoot', 'rtoes': 'RightToeBase',
    'lowerback': 'LowerBack', 'upperback': 'Spine', 'thorax': 'Spine1',
    'lowerneck': 'Neck', 'upperneck': 'Neck1', 'head': 'Head',
    'lclavicle': 'LeftShoulder', 'lhumerus': 'LeftArm', 'lradius': 'LeftForeArm', 'lwrist': 'LeftHand',
    'lhand': 'LeftFingerBase', 'lfingers': 'LeftHandIndex1', 'lthumb': 'LThumb',
    'rclavicle': 'RightShoulder', 'rhumerus': 'RightArm', 'rradius': 'RightForeArm', 'rwrist': 'RightHand',
    'rhand': 'RightFingerBase', 'rfingers': 'RightHandIndex1', 'rthumb': 'RThumb',
}
# The benchmark's first row, identical in every file: turns about x, y, z in degrees.
T_POSE = {'LeftUpLeg': (0, 0, 21), 'RightUpLeg': (0, 0, -21), 'Neck': (16, 0, 0), 'Neck1': (-21, 0, 0),
          'Head': (-11, 0, 0), 'LeftArm': (0, 0, 8), 'RightArm': (0, 0, -8)}


@dataclass
class Bone:
    """direction: unit vector to the bone's end in the rest pose. length in ASF units. axis: the rotation C of its own
    axes. turns: the axes 0, 1, 2 that its values in an AMC file turn about, in their order."""

    direction: tuple[float, ...] = ()
    length: float = 0.0
    axis: Rotation | None = None
    turns: tuple[int, ...] = ()


class Asf(NamedTuple):
    """unit_mm: true millimetres in one ASF unit. bones by name, every one of JOINT_OF_BONE."""

    unit_mm: float
    bones: dict[str, Bone]


class Trial(NamedTuple):
    """position: (F, 3) of the root in ASF units. root_degrees: (F, 3) turns about x, y, z: the root's rotation is
    Rz Ry Rx. rotations: (F, 38, 3) exponential maps as the benchmark stores them, the root's zero."""

    position: np.ndarray
    root_degrees: np.ndarray
    rotations: np.ndarray


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and words of a text file, without comments and blank lines. InputError if it cannot be read."""
    with reading(path):
        text = path.read_text(encoding='latin-1')
    for number, line in enumerate(text.splitlines(), start=1):
        if (words := line.split()) and not words[0].startswith('#'):
            yield number, words


def find_asf(amc: Path) -> Path:
    """The skeleton {subject}.asf of {subject}_{trial}.amc, beside it or in the folder above. InputError if it is in neither."""
    name = f'{amc.stem.split("_")[0]}.asf'
    for folder in (amc.parent, amc.parent.parent):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f'{amc}: its skeleton {name} is neither beside it nor in the folder above')


def read_asf(path: Path) -> Asf:
    """The skeleton in an ASF file of the CMU database. InputError with the line where it is damaged or of another kind."""
    unit, section, name = 0.0, '', ''
    bones: dict[str, Bone] = {}
    for number, (key, *values) in read_lines(path):
        try:
            if key.startswith(':'):
                section = key
            elif section == ':units' and key == 'length':
                unit = finite(values[:1], 1)[0]
            elif section == ':units' and key == 'angle' and values != ['deg']:
                raise ValueError(f'angle {" ".join(values)}: only degrees are read')
            elif section == ':root' and key == 'order' and values != ROOT_ORDER:
                raise ValueError(f'root order {" ".join(values)}, expected {" ".join(ROOT_ORDER)} as in the CMU database')
            elif section == ':bonedata' and key == 'name':
                name = values[0]
                bones[name] = Bone()
            elif section == ':bonedata' and key in ('direction', 'length', 'axis', 'dof'):
                read_bone(bones[name], key, values)
        except (ValueError, IndexError, KeyError) as error:
            reason = str(error) if isinstance(error, ValueError) else 'incomplete or before the bone\'s name'
            raise InputError(f'{path}: line {number}: {key}: {reason}') from None
    for name in JOINT_OF_BONE:
        bone = bones.get(name)
        if bone is None or not bone.direction or not bone.length or bone.axis is None:
            what = 'is not there' if bone is None else 'has no direction, length or axis'
            raise InputError(f'{path}: bone {name} {what}: damaged, or not a skeleton of the CMU database')
    if not 1e-3 <= unit <= 1e3:
        raise InputError(f'{path}: no length unit between 0.001 and 1000 in its :units')
    return Asf(INCH_MM / unit, bones)


def read_bone(bone: Bone, key: str, values: list[str]) -> None:
    """Take one line of a bone. ValueError on what is not understood."""
    if key == 'dof':
        if not set(values) <= {'rx', 'ry', 'rz'}:
            raise ValueError(f'{" ".join(values)}: only rx, ry and rz are read')
        bone.turns = tuple('xyz'.index(value[1]) for value in values)
    elif key == 'length':
        bone.length = finite(values, 1)[0]
    elif key == 'direction':
        bone.direction = tuple(finite(values, 3))
    else:
        if values[3:] != ['XYZ']:
            raise ValueError(f'order {" ".join(values[3:])}, expected XYZ as in the CMU database')
        bone.axis = Rotation.from_euler('xyz', finite(values[:3], 3), degrees=True)


def finite(values: list[str], count: int) -> list[float]:
    """So many finite numbers, none of them absurd. ValueError otherwise."""
    if len(values) != count:
        raise ValueError(f'{len(values)} values, expected {count}')
    for value in values:
        if not abs(float(value)) <= LARGEST:  # not even for NaN
            raise ValueError(f'{value[:40]} is not a finite number up to a million')
    return [float(value) for value in values]


def read_amc(path: Path, asf: Asf) -> Trial:
    """The motion in an AMC file of this skeleton. InputError with the line where it is damaged."""
    counts = {'root': 6} | {name: len(bone.turns) for name, bone in asf.bones.items() if bone.turns}
    values: dict[str, list[list[float]]] = {name: [] for name in counts}
    frame, number = 0, 0
    for number, (key, *words) in read_lines(path):
        if key.startswith(':'):
            if key.upper() == ':RADIANS':
                raise InputError(f'{path}: line {number}: {key}: only degrees are read')
        elif key.isdigit() and not words:
            check_frame(path, number, values, frame)
            frame += 1
        elif key not in counts:
            raise InputError(f'{path}: line {number}: {key}: the skeleton has no such bone that moves')
        elif len(values[key]) != frame - 1:
            raise InputError(f'{path}: line {number}: {key}: twice in one frame, or before the first frame\'s number')
        else:
            try:
                values[key].append(finite(words, counts[key]))
            except ValueError as error:
                raise InputError(f'{path}: line {number}: {key}: {error}') from None
    check_frame(path, number, values, frame)
    if not frame:
        raise InputError(f'{path}: holds no frame')
    root = np.array(values['root'])
    return Trial(root[:, :3], root[:, 3:], bone_rotations(asf, {name: np.array(values[name]) for name in counts}))


def check_frame(path: Path, number: int, values: dict[str, list[list[float]]], frame: int) -> None:
    """InputError if a bone is missing in the frame that ends before this line."""
    for name, own in values.items():
        if len(own) != frame:
            raise InputError(f'{path}: line {number}: the frame that ends here has no values of {name}')


def bone_rotations(asf: Asf, values: dict[str, np.ndarray]) -> np.ndarray:
    """(F, 38, 3) exponential maps of the transposed bone rotations C Rz Ry Rx C^T; the root's and the end sites' are zero."""
    rotations = np.zeros((len(values['root']), len(CMU.joints), 3))
    for name, joint in JOINT_OF_BONE.items():
        bone = asf.bones[name]
        if bone.turns and bone.axis is not None:
            degrees = np.zeros((len(rotations), 3))
            degrees[:, bone.turns] = values[name]
            turn = bone.axis * Rotation.from_euler('xyz', degrees, degrees=True) * bone.axis.inv()
            rotations[:, CMU.joints.index(joint)] = turn.inv().as_rotvec()
    return rotations


def benchmark_rows(trial: Trial) -> np.ndarray:
    """(F + 1, 117) rows of a benchmark file: the T-pose at the first frame's place, then the motion.

    The benchmark puts the root's turns together as Rz Rx Ry where the recording means Rz Ry Rx. Nobody noticed, because
    everyone drops the root's rotation; it is kept here so that the files are the same.
    """
    rotations = np.concatenate([np.zeros((1, *trial.rotations.shape[1:])), trial.rotations])
    for joint, degrees in T_POSE.items():
        rotations[0, CMU.joints.index(joint)] = np.deg2rad(degrees)
    rotations[1:, 0] = Rotation.from_euler('ZXY', trial.root_degrees[:, [2, 0, 1]], degrees=True).inv().as_rotvec()
    position = np.concatenate([trial.position[:1], trial.position])
    return np.concatenate([position, rotations.reshape(len(rotations), -1)], axis=1)
