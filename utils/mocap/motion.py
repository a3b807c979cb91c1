"""A person's own motion: root-centred poses in the body's frame, made of positions or rotations, at any frame rate."""
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.data.kinematics import joint_positions
from utils.data.lookup import dataset_named
from utils.data.skeleton import FARTHEST_JOINT_MM, Skeleton
from utils.mocap.asf_amc import INCH_MM

UNITS_MM = {'mm': 1.0, 'cm': 10.0, 'm': 1000.0, 'in': INCH_MM, 'asf': INCH_MM / 0.45}  # asf: the CMU database's own unit
# Joints that turn with the root and nothing else; they tell how the body is turned. 3DPW's poses keep their rotation.
ANCHORS = {'h36m': ('RightUpLeg', 'LeftUpLeg', 'Spine'), 'cmu': ('LeftUpLeg', 'RightUpLeg'), '3dpw': ()}
BODY_SIZE_MM = (300, 2500)  # the farthest joint from the root of anyone who can be meant


@dataclass(frozen=True)
class Motion:
    """body: (F, J, 3) root-centred poses in the body's frame and the benchmark's mm, as the network knows them.
    rotation: (F,) from the body's frame to the world's. position: (F, 3) of the root in the world, true mm; None where
    the file does not tell its unit."""

    body: np.ndarray
    rotation: Rotation
    position: np.ndarray | None
    fps: float

    def at(self, times: np.ndarray, *, last: int | None = None) -> np.ndarray:
        """(T, J, 3) poses at these times in s from the first frame, by cubic splines through the joints' paths.

        last: the splines know nothing of the frames after this one.
        """
        known = self.body[: len(self.body) if last is None else last + 1].reshape(-1, self.body[0].size)
        return CubicSpline(np.arange(len(known)) / self.fps, known)(times).reshape(len(times), -1, 3)


def motion_of_positions(positions: np.ndarray, dataset: str, *, fps: float, units: str) -> Motion:
    """Joint positions (F, J, 3) or (F, 3 J), in file order of the dataset's joints. InputError if they cannot be that."""
    skeleton = dataset_named(dataset).skeleton
    joints = len(skeleton.joints)
    if positions.ndim not in (2, 3) or positions.shape[1:] not in ((joints, 3), (3 * joints,)) or len(positions) < 2:
        raise InputError(f'positions of shape {positions.shape}: a {dataset} model takes 2 or more frames as '
                         f'(F, {joints}, 3) or (F, {3 * joints})')
    if positions.dtype.kind not in 'fiu' or not np.isfinite(positions).all():
        raise InputError('positions must be finite numbers; fill gaps in a recording first')
    with np.errstate(over='ignore', invalid='ignore'):  # what overflows is refused below
        positions = positions.reshape(len(positions), joints, 3).astype(np.float64) * unit_mm(units)
        centred = positions - positions[:, :1]
        reach = np.linalg.norm(centred, axis=-1).max(axis=1)
    size = np.median(reach)
    if not BODY_SIZE_MM[0] <= size <= BODY_SIZE_MM[1]:
        raise InputError(f'the farthest joint is {size:.4g} mm from the root: nobody is that size; check the units ({units})')
    if len(far := np.flatnonzero(~(reach <= FARTHEST_JOINT_MM))):
        raise InputError(f'frame {far[0]}: a joint is {reach[far[0]] / 1000:.4g} m from the root')
    rotation = body_rotations(centred, dataset)
    body = np.einsum('fji,fpj->fpi', rotation.as_matrix(), centred) / skeleton.mm_scale_to_true  # transposed: into the body
    return Motion(body, rotation, positions[:, 0], checked_fps(fps))


def body_rotations(centred: np.ndarray, dataset: str) -> Rotation:
    """(F,) rotations of the body, from root-centred positions (F, J, 3): the least-squares fit of the anchors' directions.

    InputError where the anchors lie on one line with the root. Human3.6M's Spine is only 0.1 mm above the root; where a
    file has both at the same place, Spine1 stands in, and bending of the lower back counts as a turn of the body.
    """
    skeleton = dataset_named(dataset).skeleton
    names = list(ANCHORS[dataset])
    if not names:
        return Rotation.identity(len(centred))
    if 'Spine' in names and np.linalg.norm(centred[:, skeleton.joints.index('Spine')], axis=-1).min() < 0.02:
        names[names.index('Spine')] = 'Spine1'
    anchors = [skeleton.joints.index(name) for name in names]
    rest = joint_positions(np.zeros((1, len(skeleton.joints), 3)), skeleton)[0, anchors]
    rest = rest / np.linalg.norm(rest, axis=-1, keepdims=True)
    lengths = np.linalg.norm(centred[:, anchors], axis=-1, keepdims=True)
    directions = centred[:, anchors] / np.maximum(lengths, 1e-9)
    flat = np.linalg.svd(directions, compute_uv=False)[:, 1] < 0.2
    if flat.any():
        raise InputError(f'frame {flat.argmax()}: {", ".join(names)} lie on one line with the root, so it cannot be told how '
                         'the body is turned; give a file with rotations (BVH, ASF/AMC)')
    return Rotation.concatenate([Rotation.align_vectors(frame, rest)[0] for frame in directions])


def motion_of_rotations(rotations: np.ndarray, skeleton: Skeleton, *, root: Rotation, position: np.ndarray | None,
                        fps: float) -> Motion:
    """Exponential maps (F, J, 3) as the benchmark stores them, put on its skeleton with the root's rotation left out."""
    rotations = rotations.copy()
    rotations[:, 0] = 0
    return Motion(joint_positions(rotations, skeleton), root, position, checked_fps(fps))


def unit_mm(units: str) -> float:
    """True millimetres in a unit."""
    if units not in UNITS_MM:
        raise InputError(f'unit {units!r}: choose one of {", ".join(UNITS_MM)}')
    return UNITS_MM[units]


def checked_fps(fps: float) -> float:
    if not 0 < fps < 1e4:
        raise InputError(f'{fps} frames per second: no camera has that')
    return float(fps)
