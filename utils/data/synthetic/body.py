"""From anatomical angle curves to the joint rotations and the path of a skeleton, for the sample datasets."""
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from utils.data.kinematics import joint_positions
from utils.data.skeleton import CMU, H36M, THREEDPW, Skeleton
from utils.data.synthetic.curves import SIDES, Motion

# Sign of an anatomical flexion as a rotation about x, where x points left, y up and z forward.
FLEXION_SIGN = {'root': 1, 'spine': 1, 'neck': 1, 'hip': -1, 'knee': 1, 'ankle': -1, 'toe': -1, 'shoulder': -1,
                'elbow': -1, 'wrist': -1}


@dataclass(frozen=True)
class Body:
    """How a skeleton is posed. In joint names * stands for a side, one of `sides`.

    joints: body part -> its joints, which share its angles evenly. neutral: degrees about x and then z (left side; the
    right one is its mirror image) that turn a joint and all below it from the rest pose to standing with hanging arms.
    metres: length of one unit of the skeleton's offsets.
    """

    skeleton: Skeleton
    sides: tuple[str, str]
    joints: dict[str, tuple[str, ...]]
    neutral: dict[str, tuple[float, float]]
    metres: float


H36M_BODY = Body(
    H36M, ('Left', 'Right'),
    {'root': ('Hips',), 'spine': ('Spine', 'Spine1'), 'neck': ('Neck', 'Head'), 'hip': ('*UpLeg',), 'knee': ('*Leg',),
     'ankle': ('*Foot',), 'toe': ('*ToeBase',), 'shoulder': ('*Arm',), 'elbow': ('*ForeArm',), 'wrist': ('*Hand',)},
    {'*Shoulder': (0, -92), '*Arm': (0, -180), '*Foot': (25, 0), '*ToeBase': (0, 0)}, metres=0.001)

CMU_BODY = Body(
    CMU, ('Left', 'Right'),
    {'root': ('Hips',), 'spine': ('LowerBack', 'Spine', 'Spine1'), 'neck': ('Neck', 'Neck1', 'Head'),
     'hip': ('*UpLeg',), 'knee': ('*Leg',), 'ankle': ('*Foot',), 'toe': ('*ToeBase',), 'shoulder': ('*Arm',),
     'elbow': ('*ForeArm',), 'wrist': ('*Hand',)},
    {'*UpLeg': (0, -20), '*Arm': (0, -90)}, metres=CMU.mm_scale_to_true / 1000)

# Rest offsets in metres of the midline and the left side, of our own making, about the proportions of an adult.
ADULT = {
    'pelvis': (0, 0, 0), 'spine1': (0, 0.11, -0.02), 'spine2': (0, 0.13, 0.01), 'spine3': (0, 0.06, 0.01),
    'neck': (0, 0.21, -0.03), 'head': (0, 0.10, 0.04), 'left_hip': (0.07, -0.09, 0), 'left_knee': (0.03, -0.39, 0),
    'left_ankle': (-0.01, -0.41, -0.03), 'left_foot': (0.02, -0.06, 0.13), 'left_collar': (0.07, 0.12, -0.02),
    'left_shoulder': (0.11, 0.04, -0.01), 'left_elbow': (0.26, 0, -0.01), 'left_wrist': (0.25, 0, 0),
    'left_hand': (0.09, 0, 0)}


def with_offsets(skeleton: Skeleton, left: dict[str, tuple[float, float, float]]) -> Skeleton:
    """The skeleton with rest offsets; those of right joints mirror the left ones."""
    rows = []
    for name, parent, role in skeleton.rows:
        x, y, z = left[name.replace('right', 'left')]
        rows.append((name, parent, role, (-x if name.startswith('right') else x, y, z)))
    return replace(skeleton, rows=tuple(rows))


THREEDPW_BODY = Body(
    with_offsets(THREEDPW, ADULT), ('left_', 'right_'),
    {'root': ('pelvis',), 'spine': ('spine1', 'spine2', 'spine3'), 'neck': ('neck', 'head'), 'hip': ('*hip',),
     'knee': ('*knee',), 'ankle': ('*ankle',), 'toe': ('*foot',), 'shoulder': ('*shoulder',), 'elbow': ('*elbow',),
     'wrist': ('*wrist',)},
    {'*shoulder': (0, -90)}, metres=1.0)


def on_both_sides(body: Body, pattern: str) -> list[tuple[str, str, int]]:
    """(joint name, prefix of its part, mirror sign) of the joints that a pattern stands for."""
    if '*' not in pattern:
        return [(pattern, '', 1)]
    return [(pattern.replace('*', name), f'{side}_', sign)
            for name, side, sign in zip(body.sides, SIDES, (1, -1), strict=True)]


def neutral_frames(body: Body) -> dict[str, Rotation]:
    """Joint -> its global rotation when the body stands with hanging arms."""
    given = {name: Rotation.from_euler('xz', (about_x, sign * about_z), degrees=True)
             for pattern, (about_x, about_z) in body.neutral.items() for name, _, sign in on_both_sides(body, pattern)}
    frames: dict[str, Rotation] = {}
    for name, parent in zip(body.skeleton.joints, body.skeleton.parents, strict=True):
        inherited = frames[body.skeleton.joints[parent]] if parent >= 0 else Rotation.identity()
        frames[name] = given.get(name, inherited)
    return frames


def joint_rotations(motion: Motion, body: Body) -> np.ndarray:
    """(F, J, 3) exponential maps in radians, as the files store them (see kinematics.joint_positions)."""
    skeleton, frames = body.skeleton, neutral_frames(body)
    angles = {}
    for part, patterns in body.joints.items():
        for pattern in patterns:
            for name, prefix, sign in on_both_sides(body, pattern):
                signs = np.array([FLEXION_SIGN[part], sign, sign]) / len(patterns)
                angles[name] = motion.angles[prefix + part] * signs
    rotations = np.empty((len(motion.seconds), len(skeleton.joints), 3))
    for j, (name, parent) in enumerate(zip(skeleton.joints, skeleton.parents, strict=True)):
        above = frames[skeleton.joints[parent]] if parent >= 0 else Rotation.identity()
        turn = Rotation.from_euler('xyz', angles[name], degrees=True) if name in angles else Rotation.identity()
        # Files are for row vectors: they hold the inverse of the rotation of a column vector.
        rotations[:, j] = -(above.inv() * turn * frames[name]).as_rotvec()
    return rotations


def root_path(motion: Motion, positions: np.ndarray, body: Body) -> np.ndarray:
    """(F, 3) metres: the root moves so that the standing foot does not. positions: (F, J, 3) root-centred metres."""
    skeleton = body.skeleton
    soles = [skeleton.joints.index(name) for part in ('ankle', 'toe') for pattern in body.joints[part]
             for name, _, _ in on_both_sides(body, pattern)]
    feet = positions[:, soles]  # (F, feet, 3)
    weight = np.exp(-(feet[..., 1] - feet[..., 1].min(1, keepdims=True)) / 0.02)
    weight /= weight.sum(1, keepdims=True)
    step = motion.seconds[1] - motion.seconds[0]
    velocity = -(weight[..., None] * np.gradient(feet, step, axis=0)).sum(1)
    # A body's momentum smooths the change from foot to foot.
    path = np.cumsum(gaussian_filter1d(velocity, 0.12 / step, axis=0), axis=0) * step
    path[:, 1] = gaussian_filter1d(motion.flight - feet[..., 1].min(1), 0.03 / step)
    return path


def pose(motion: Motion, body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exponential maps (F, J, 3) in radians; in metres, root-centred positions (F, J, 3) and the root's path (F, 3)."""
    rotations = joint_rotations(motion, body)
    positions = joint_positions(rotations, body.skeleton) * body.metres
    return rotations, positions, root_path(motion, positions, body)
