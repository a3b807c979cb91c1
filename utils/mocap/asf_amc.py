"""Reads Acclaim skeletons and motions (ASF/AMC) of the CMU motion capture database.

Makes the benchmark's rows of them.
"""
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError, check_not_pointer, reading
from utils.common.files import read_regular
from utils.data.skeleton import CMU

INCH_MM = 25.4
# Of all numbers in motion files: positions in any unit, turns in degrees that may count on past 360.
LARGEST = 1e6
MAX_LINES = 5_000_000  # an .amc has 30 in a frame
LINE_ENDS = b'\n\r\v\f\x1c\x1d\x1e\x85'  # each that str.splitlines knows in latin-1
ROOT_ORDER = ['TX', 'TY', 'TZ', 'RX', 'RY', 'RZ']
# The bones of the database's skeletons; the benchmark names each by the joint that it turns. End sites have
# no bone.
JOINT_OF_BONE = {
    'lhipjoint': 'LHipJoint', 'lfemur': 'LeftUpLeg', 'ltibia': 'LeftLeg', 'lfoot': 'LeftFoot',
    'ltoes': 'LeftToeBase',
    'rhipjoint': 'RHipJoint', 'rfemur': 'RightUpLeg', 'rtibia': 'RightLeg', 'rfoot': 'RightFoot',
    'rtoes': 'RightToeBase',
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
    """A bone in its rest pose, and how it turns.

    direction: unit vector to the bone's end.
    length: in ASF units.
    axis: the rotation C of its own axes.
    turns: the axes 0, 1, 2 that its values in an AMC file turn about, in their order.
    """

    direction: tuple[float, ...]
    length: float
    axis: Rotation
    turns: tuple[int, ...]


class Asf(NamedTuple):
    """A skeleton of the database.

    unit_mm: true millimetres in one ASF unit.
    bones: by name, every one of JOINT_OF_BONE.
    """

    unit_mm: float
    bones: dict[str, Bone]


class Trial(NamedTuple):
    """The motion in an AMC file.

    position: (F, 3) of the root in ASF units.
    root_degrees: (F, 3) turns about x, y, z: the root's rotation is Rz Ry Rx.
    rotations: (F, 38, 3) exponential maps as the benchmark stores them, the root's zero.
    """

    position: np.ndarray
    root_degrees: np.ndarray
    rotations: np.ndarray


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields line numbers and words of a text file, without comments and blank lines.

    InputError if it cannot be read, or has more lines than any recording.
    """
    with reading(path):
        raw = read_regular(path)
    check_not_pointer(path, raw)
    if sum(raw.count(end) for end in LINE_ENDS) > MAX_LINES:
        raise InputError(f'{path}: has more than {MAX_LINES} lines: no recording is so long')
    text = raw.removeprefix(codecs.BOM_UTF8).decode('latin-1')
    for number, line in enumerate(text.splitlines(), start=1):
        if (words := line.split()) and not words[0].startswith('#'):
            yield number, words


def find_asf(amc: Path) -> Path:
    """Finds the skeleton {subject}.asf of {subject}_{trial}.amc, beside it or in the folder above.

    InputError if it is in neither.
    """
    name = f'{amc.stem.split("_")[0]}.asf'
    with reading(amc.parent):
        for folder in (amc.parent, amc.parent.parent):
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                if path.name.lower() == name.lower() and path.is_file():
                    return path
    raise InputError(f'{amc}: its skeleton {name} is neither beside it nor in the folder above: name one '
                     f'with --asf')


TEXT_SECTIONS = (':version', ':name', ':documentation', ':skin')  # say nothing of the motion
SECTIONS = (*TEXT_SECTIONS, ':units', ':root', ':bonedata', ':hierarchy')
UNITS = ('mass', 'length', 'angle')
ROOT_FIELDS = {'order': ROOT_ORDER, 'axis': ['XYZ'], 'position': ['0', '0', '0'],
               'orientation': ['0', '0', '0']}
BONE_FIELDS = ('id', 'name', 'direction', 'length', 'axis', 'dof', 'limits', 'bodymass', 'cofmass')


@dataclass
class Sections:
    """What the sections of an ASF file say.

    units: of :units.
    root: the fields of :root.
    blocks: the fields of each bone in :bonedata.
    parents: bone -> the bone that it hangs on, by :hierarchy.
    cut_off: whether the file ends within a block.
    """

    units: dict[str, str] = field(default_factory=dict)
    root: dict[str, list[str]] = field(default_factory=dict)
    blocks: list[dict[str, list[str]]] = field(default_factory=list)
    parents: dict[str, str] = field(default_factory=dict)
    cut_off: bool = False


def read_asf(path: Path) -> Asf:
    """Reads the skeleton in an ASF file of the CMU database.

    Every field is used, or compared with the database's own.
    InputError with the line where the file is damaged or of another kind.
    """
    found = read_sections(path)
    # Where the file is cut off inside a block, that block lacks fields; check_complete says so.
    whole = [block for block in found.blocks if {'name', 'direction', 'length', 'axis'} <= block.keys()]
    bones = {block['name'][0]: bone_of(block) for block in whole}
    check_complete(path, bones, found)
    asf = Asf(INCH_MM / float(found.units['length']), bones)
    check_rest(path, asf)
    return asf


def read_sections(path: Path) -> Sections:
    """Reads and checks an ASF file line by line. InputError with the line that is not the database's."""
    found = Sections()
    seen: set[str] = set()
    section, in_block = '', False
    for number, (key, *values) in read_lines(path):
        try:
            if key.startswith(':'):
                if key not in SECTIONS or in_block or key in seen:
                    raise ValueError('no section of an ASF file, one a second time, or before the end of a '
                                     'block')
                section = key
                seen.add(key)
            elif section in TEXT_SECTIONS:
                continue
            elif key in ('begin', 'end') and section in (':bonedata', ':hierarchy') and not values:
                if in_block == (key == 'begin'):
                    raise ValueError('out of place')
                in_block = key == 'begin'
                if section == ':bonedata':
                    found.blocks.append({}) if in_block else check_bone(found.blocks[-1])
            elif section == ':units':
                found.units[key] = read_unit(key, values, found.units)
            elif section == ':root':
                found.root[key] = read_root_field(key, values, found.root)
            elif section == ':bonedata' and in_block:
                read_bone_field(key, values, found.blocks[-1])
            elif section == ':hierarchy' and in_block:
                add_children(key, values, found.parents)
            else:
                raise ValueError('out of place')
        except ValueError as error:
            raise InputError(f'{path}: line {number}: {key[:40]}: {error}') from None
    found.cut_off = in_block
    return found


def read_unit(key: str, values: list[str], units: dict[str, str]) -> str:
    """Checks one line of :units. ValueError on another unit than the database has."""
    if key in units or key not in UNITS:
        raise ValueError('twice, or no unit of an ASF file')
    if key == 'angle':
        if values != ['deg']:
            raise ValueError(f'angle {" ".join(values)[:40]}: only degrees are read')
    elif key == 'length' and not 1e-3 <= finite(values, 1)[0] <= 1e3:
        raise ValueError('no length unit between 0.001 and 1000')
    else:
        finite(values, 1)
    return values[0]


def read_root_field(key: str, values: list[str], root: dict[str, list[str]]) -> list[str]:
    """Checks one line of :root, which all skeletons of the database have alike.

    ValueError if it is another.
    """
    if key in root or key not in ROOT_FIELDS:
        raise ValueError('twice, or no field of :root')
    expected = ROOT_FIELDS[key]
    same = finite(values, 3) == [0, 0, 0] if key in ('position', 'orientation') else values == expected
    if not same:
        raise ValueError(f'root {key} {" ".join(values)[:60]}, expected {" ".join(expected)} as in the CMU '
                         f'database')
    return values


def read_bone_field(key: str, values: list[str], block: dict[str, list[str]]) -> None:
    """Takes one line of a bone's block. ValueError on what is not understood or there already."""
    if key.startswith('(') and 'limits' in block:  # the limits of one more turn
        key, values = 'limits', [key, *values]
        block['limits'] += check_limits(values)
        return
    if key in block or key not in BONE_FIELDS:
        raise ValueError('twice in one bone, or no field of a bone')
    if key == 'dof':
        if not values or not set(values) <= {'rx', 'ry', 'rz'} or len(set(values)) != len(values):
            raise ValueError(f'{" ".join(values)[:60]}: only rx, ry and rz are read, each once')
    elif key == 'limits':
        values = check_limits(values)
    elif key == 'axis':
        if values[3:] != ['XYZ']:
            raise ValueError(f'order {" ".join(values[3:])[:60]}, expected XYZ as in the CMU database')
        finite(values[:3], 3)
    elif key == 'direction':
        if abs(np.linalg.norm(finite(values, 3)) - 1) > 1e-2:
            raise ValueError(f'{" ".join(values)[:60]}: is not of length 1')
    elif key == 'length':
        if finite(values, 1)[0] <= 0:
            raise ValueError(f'{values[0]}: a bone has a length')
    elif key == 'name':
        if len(values) != 1 or values[0] not in JOINT_OF_BONE:
            raise ValueError(f'{" ".join(values)[:60]}: is no bone of a skeleton of the CMU database')
    elif key != 'cofmass':
        finite(values, 1)
    block[key] = values


def check_limits(values: list[str]) -> list[str]:
    """Returns the limits of one turn, such as (-160.0 20.0), as one text. ValueError if they are none."""
    text = ' '.join(values)
    inner = re.fullmatch(r'\(\s*(\S+)\s+(\S+)\s*\)', text)
    if inner is None or not all(limit in ('-inf', 'inf') or finite([limit], 1) for limit in inner.groups()):
        raise ValueError(f'{text[:60]}: expected two limits such as (-160.0 20.0)')
    return [text]


def check_bone(block: dict[str, list[str]]) -> None:
    """Raises ValueError if a bone's block that ends here lacks something."""
    for name in ('id', 'name', 'direction', 'length', 'axis'):
        if name not in block:
            raise ValueError(f'the bone that ends here has no {name}')
    if len(block.get('dof', [])) != len(block.get('limits', [])):
        raise ValueError(f'{block["name"][0]} turns about {len(block.get("dof", []))} axes and has limits '
                         f'for {len(block.get("limits", []))}')


def bone_of(block: dict[str, list[str]]) -> Bone:
    """Makes a bone of the fields of its block."""
    return Bone(tuple(map(float, block['direction'])), float(block['length'][0]),
                Rotation.from_euler('xyz', [float(value) for value in block['axis'][:3]], degrees=True),
                tuple('xyz'.index(turn[1]) for turn in block.get('dof', [])))


def add_children(parent: str, children: list[str], parents: dict[str, str]) -> None:
    """Takes one line of :hierarchy. ValueError if it is not the database's."""
    for bone in children:
        expected = parent_bone(bone)
        if bone in parents or parent != expected:
            raise ValueError(f'{bone[:40]} stands there twice' if bone in parents else
                             f'{bone[:40]} hangs on {parent[:40]}, expected {expected or "no such bone"}')
        parents[bone] = parent


def parent_bone(bone: str) -> str | None:
    """Returns the bone that a bone hangs on, 'root' for the first ones; None for an unknown name."""
    if bone not in JOINT_OF_BONE:
        return None
    joint = CMU.joints[CMU.parents[CMU.joints.index(JOINT_OF_BONE[bone])]]
    return next((name for name, own in JOINT_OF_BONE.items() if own == joint), 'root')


def check_complete(path: Path, bones: dict[str, Bone], found: Sections) -> None:
    """Raises InputError if a bone is missing, twice there or not in the hierarchy, or a unit is missing."""
    for name in JOINT_OF_BONE:
        if name not in bones:
            raise InputError(f'{path}: bone {name} is not there: damaged, or not a skeleton of the CMU '
                             f'database')
    if found.cut_off or len(found.parents) != len(JOINT_OF_BONE):
        raise InputError(f'{path}: the hierarchy is cut off: it names {len(found.parents)} bones of '
                         f'{len(JOINT_OF_BONE)}')
    ids = [float(block['id'][0]) for block in found.blocks if 'id' in block]
    if len(found.blocks) != len(bones) or len(set(ids)) != len(found.blocks):
        raise InputError(f'{path}: two bones have one name or one id')
    for section, fields, needed in ((':units', found.units, UNITS), (':root', found.root, ROOT_FIELDS)):
        if lacking := [name for name in needed if name not in fields]:
            raise InputError(f'{path}: {section} has no {lacking[0]}')


def check_rest(path: Path, asf: Asf) -> None:
    """Raises InputError if a bone rests as in no skeleton of the database.

    That is more than 60 degrees off the benchmark's, or not between a third and three times as long.
    The benchmark's own bones are used in place of these, so nothing else would show it.
    """
    for name, bone in asf.bones.items():
        end = CMU.parents.index(CMU.joints.index(JOINT_OF_BONE[name]))  # the joint at the bone's end
        rest, own = CMU.offsets[end] * CMU.mm_scale_to_true, bone.length * asf.unit_mm
        length = float(np.linalg.norm(rest))  # zero where several bones begin
        if length and not (rest @ bone.direction > length / 2 and length / 3 < own < 3 * length):
            towards = ' '.join(f'{value:.2f}' for value in bone.direction)
            raise InputError(f'{path}: bone {name} is {own:.0f} mm long towards {towards}: damaged, or not a '
                             'skeleton of the CMU database')


def finite(values: list[str], count: int) -> list[float]:
    """Reads so many finite numbers, none of them absurd. ValueError otherwise."""
    if len(values) != count:
        raise ValueError(f'{len(values)} values, expected {count}')
    for value in values:
        if not (value.isascii() and '_' not in value and abs(float(value)) <= LARGEST):  # not even for NaN
            raise ValueError(f'{value[:40]} is not a finite number up to a million')
    return [float(value) for value in values]


def read_amc(path: Path, asf: Asf) -> Trial:
    """Reads the motion in an AMC file of this skeleton. InputError with the line where it is damaged."""
    counts = {'root': 6} | {name: len(bone.turns) for name, bone in asf.bones.items() if bone.turns}
    values: dict[str, list[list[float]]] = {name: [] for name in counts}
    frame, number, last = 0, 0, 0
    for number, (key, *words) in read_lines(path):
        if key.startswith(':'):
            if key.upper() not in (':FULLY-SPECIFIED', ':DEGREES') or frame:
                said = 'only degrees are read' if key.upper() == ':RADIANS' else 'is not understood'
                raise InputError(f'{path}: line {number}: {key[:40]}: {said}')
        elif key.isascii() and key.isdigit() and not words:
            check_frame(path, number, values, frame)
            if frame and key != str(last + 1):
                raise InputError(f'{path}: line {number}: frame {key[:20]} follows frame {last}: a gap in '
                                 f'the recording')
            frame, last = frame + 1, int(key[:20])
        elif key not in counts:
            raise InputError(f'{path}: line {number}: {key}: the skeleton has no such bone that moves')
        elif len(values[key]) != frame - 1:
            raise InputError(f'{path}: line {number}: {key}: twice in one frame, or before the first '
                             f'frame\'s number')
        else:
            try:
                values[key].append(finite(words, counts[key]))
            except ValueError as error:
                raise InputError(f'{path}: line {number}: {key}: {error}') from None
    check_frame(path, number, values, frame)
    if not frame:
        raise InputError(f'{path}: holds no frame')
    root = np.array(values['root'])
    return Trial(root[:, :3], root[:, 3:], bone_rotations(asf,
                                                          {name: np.array(values[name]) for name in counts}))


def check_frame(path: Path, number: int, values: dict[str, list[list[float]]], frame: int) -> None:
    """Raises InputError if a bone is missing in the frame that ends before this line."""
    for name, own in values.items():
        if len(own) != frame:
            raise InputError(f'{path}: line {number}: the frame that ends here has no values of {name}')


def bone_rotations(asf: Asf, values: dict[str, np.ndarray]) -> np.ndarray:
    """Returns (F, 38, 3) exponential maps of the transposed bone rotations C Rz Ry Rx C^T.

    The root's and the end sites' are zero.
    """
    rotations = np.zeros((len(values['root']), len(CMU.joints), 3))
    for name, joint in JOINT_OF_BONE.items():
        bone = asf.bones[name]
        if bone.turns:
            degrees = np.zeros((len(rotations), 3))
            degrees[:, bone.turns] = values[name]
            turn = bone.axis * Rotation.from_euler('xyz', degrees, degrees=True) * bone.axis.inv()
            rotations[:, CMU.joints.index(joint)] = turn.inv().as_rotvec()
    return rotations


def benchmark_rows(trial: Trial) -> np.ndarray:
    """Makes a benchmark file's rows (F + 1, 117): the T-pose at the first frame's place, then the motion.

    The benchmark puts the root's turns together as Rz Rx Ry where the recording means Rz Ry Rx. Nobody
    noticed, because everyone drops the root's rotation; it is kept here so that the files are the same.
    """
    rotations = np.concatenate([np.zeros((1, *trial.rotations.shape[1:])), trial.rotations])
    for joint, degrees in T_POSE.items():
        rotations[0, CMU.joints.index(joint)] = np.deg2rad(degrees)
    rotations[1:, 0] = Rotation.from_euler('ZXY', trial.root_degrees[:, [2, 0, 1]],
                                           degrees=True).inv().as_rotvec()
    position = np.concatenate([trial.position[:1], trial.position])
    return np.concatenate([position, rotations.reshape(len(rotations), -1)], axis=1)
