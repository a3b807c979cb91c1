"""Poses a skeleton by anatomical angle curves: makes joint rotations, positions and the path of the root."""
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from utils.data.kinematics import joint_positions
from utils.data.skeleton import CMU, H36M, THREEDPW, Skeleton
from utils.data.synthetic.actions import SIDES, STRAY, TRUNK, Motion

# Parts whose flexion turns backwards about x, where x points left, y up and z forward.
BACKWARDS = ('hip', 'ankle', 'toe', 'shoulder', 'elbow', 'wrist')


@dataclass(frozen=True)
class Body:
    """Says how a skeleton is posed. In the name of a joint, * stands for one of `sides`.

    joints: body part -> its joints, which share its angles evenly.
    neutral: joint of the left side -> degrees about x, then z, that turn it and all below it.
        They lead from the rest pose to standing with hanging arms. The right side mirrors them.
    metres: length of one unit of the skeleton's offsets.
    """

    skeleton: Skeleton
    sides: tuple[str, str]
    joints: dict[str, tuple[str, ...]]
    neutral: dict[str, tuple[float, float]]
    metres: float

    def named(self, pattern: str) -> list[tuple[str, str, int]]:
        """Returns (joint, prefix of its part, mirror sign) of the joints that a pattern stands for."""
        if '*' not in pattern:
            return [(pattern, '', 1)]
        return [(pattern.replace('*', self.sides[k]), f'{SIDES[k]}_', (1, -1)[k]) for k in (0, 1)]


LIMBS = {'hip': ('*UpLeg',), 'knee': ('*Leg',), 'ankle': ('*Foot',), 'toe': ('*ToeBase',),
         'shoulder': ('*Arm',), 'elbow': ('*ForeArm',), 'wrist': ('*Hand',)}
H36M_BODY = Body(
    H36M, ('Left', 'Right'),
    {'root': ('Hips',), 'spine': ('Spine', 'Spine1'), 'neck': ('Neck', 'Head'), **LIMBS},
    {'*Shoulder': (0, -92), '*Arm': (0, -180), '*Foot': (25, 0), '*ToeBase': (0, 0)}, metres=0.001)
CMU_BODY = Body(
    CMU, ('Left', 'Right'),
    {'root': ('Hips',), 'spine': ('LowerBack', 'Spine', 'Spine1'), 'neck': ('Neck', 'Neck1', 'Head'),
     **LIMBS},
    {'*UpLeg': (0, -20), '*Arm': (0, -90)}, metres=CMU.mm_scale_to_true / 1000)

# Rest offsets in metres of the midline and the left side: our own, about the proportions of an adult.
ADULT = {
    'pelvis': (0, 0, 0), 'spine1': (0, 0.11, -0.02), 'spine2': (0, 0.13, 0.01), 'spine3': (0, 0.06, 0.01),
    'neck': (0, 0.21, -0.03), 'head': (0, 0.10, 0.04), 'left_hip': (0.07, -0.09, 0),
    'left_knee': (0.03, -0.39, 0),
    'left_ankle': (-0.01, -0.41, -0.03), 'left_foot': (0.02, -0.06, 0.13), 'left_collar': (0.07, 0.12, -0.02),
    'left_shoulder': (0.11, 0.04, -0.01), 'left_elbow': (0.26, 0, -0.01), 'left_wrist': (0.25, 0, 0),
    'left_hand': (0.09, 0, 0)}
ADULT |= {name.replace('left', 'right'): (-x, y, z) for name, (x, y, z) in ADULT.items() if 'left' in name}
THREEDPW_BODY = Body(
    replace(THREEDPW, rows=tuple((*row[:3], ADULT[row[0]]) for row in THREEDPW.rows)), ('left', 'right'),
    {'root': ('pelvis',), 'spine': ('spine1', 'spine2', 'spine3'), 'neck': ('neck', 'head'),
     **{part: (f'*_{"foot" if part == "toe" else part}',) for part in STRAY if part not in TRUNK}},
    {'*_shoulder': (0, -90)}, metres=1.0)


def joint_rotations(motion: Motion, body: Body) -> np.ndarray:
    """Returns (F, J, 3) exponential maps in radians, as files store them (see kinematics.joint_positions)."""
    neutral = {joint: Rotation.from_euler('xz', (about_x, sign * about_z), degrees=True)
               for pattern, (about_x, about_z) in body.neutral.items()
               for joint, _, sign in body.named(pattern)}
    turns = {}
    for part, patterns in body.joints.items():
        for joint, side, sign in [named for pattern in patterns for named in body.named(pattern)]:
            signs = np.array([-1 if part in BACKWARDS else 1, sign, sign]) / len(patterns)
            turns[joint] = Rotation.from_euler('xyz', motion.angles[side + part] * signs, degrees=True)
    rotations = np.empty((len(motion.seconds), len(body.skeleton.joints), 3))
    frames: list[Rotation] = []  # of each joint in the world when the body stands with hanging arms
    for j, (joint, parent) in enumerate(zip(body.skeleton.joints, body.skeleton.parents, strict=True)):
        above = frames[parent] if parent >= 0 else Rotation.identity()
        frames.append(neutral.get(joint, above))
        # The files are for row vectors: they hold the inverse of the rotation of a column vector.
        rotations[:, j] = -(above.inv() * turns.get(joint, Rotation.identity()) * frames[j]).as_rotvec()
    return rotations


def root_path(motion: Motion, positions: np.ndarray, body: Body) -> np.ndarray:
    """Returns the root's path (F, 3) in metres, on which the standing foot does not move.

    positions: (F, J, 3) root-centred, in metres.
    """
    soles = [body.skeleton.joints.index(joint)
             for part in ('ankle', 'toe') for joint, *_ in body.named(body.joints[part][0])]
    feet = positions[:, soles]  # (F, feet, 3)
    lowest = feet[..., 1].min(1, keepdims=True)
    weight = np.exp((lowest - feet[..., 1]) / 0.02)  # who stands: the lowest, and what is within about 2 cm
    weight /= weight.sum(1, keepdims=True)
    step = motion.seconds[1] - motion.seconds[0]
    velocity = -(weight[..., None] * np.gradient(feet, step, axis=0)).sum(1)
    # A body's momentum smooths the change from foot to foot.
    path = np.cumsum(gaussian_filter1d(velocity, 0.12 / step, axis=0), axis=0) * step
    path[:, 1] = gaussian_filter1d(motion.height - lowest[:, 0], 0.03 / step)
    return path


def pose(motion: Motion, body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns exponential maps (F, J, 3) in radians, root-centred positions (F, J, 3) and root path (F, 3).

    Positions and path are in metres.
    """
    rotations = joint_rotations(motion, body)
    positions = joint_positions(rotations, body.skeleton) * body.metres
    return rotations, positions, root_path(motion, positions, body)
