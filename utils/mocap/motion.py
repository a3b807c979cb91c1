"""A person's own motion: root-centred poses on the model's skeleton, at any frame rate.

They are made of positions or rotations.
"""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.data.kinematics import joint_positions
from utils.data.lookup import dataset_named
from utils.data.skeleton import FARTHEST_JOINT_MM
from utils.mocap.asf_amc import INCH_MM
from utils.mocap.axes import anchored, check_axes, trunk_frames, up_rotation
from utils.mocap.body import put_on_model
from utils.mocap.joints import MODEL_TABLE, find_ordered, model_joints

UNITS_MM = {'mm': 1.0, 'cm': 10.0, 'm': 1000.0, 'in': INCH_MM,
            'asf': INCH_MM / 0.45}  # asf: the CMU database's own unit
BODY_SIZE_MM = (300, 2500)  # the farthest joint from the root of anyone who can be meant
# A root turned farther from the hips than this does not say how the body is turned.
TURNED_PELVIS_DEGREES = 22
LIMBS = (('hip', 'knee'), ('knee', 'ankle'), ('shoulder', 'elbow'), ('elbow', 'wrist'))

FELT_FRAMES = 24  # a spline's value hangs on a point so far away by less than 1e-12

Joints = dict[str, np.ndarray]  # joint of the body -> (F, 3)


@dataclass(frozen=True)
class Motion:
    """A motion as a network takes it.

    body: (F, J, 3) root-centred poses on the model's skeleton, in the body's frame and the benchmark's mm.
    person: (F, J, 3) the same with the person's own bone lengths, true mm; None where these are the
        skeleton's own.
    known: (J,) which joints the recording has; the others are placed (see body.py).
    rotation: (F,) from the body's frame to the world's.
    position: (F, 3) of the root in the world, true mm.
    table: which joint names were taken.
    notes: what a reader should know, a line each.
    t_pose: whether frame 0 is a T-pose that nobody stood in.
    """

    body: np.ndarray
    person: np.ndarray | None
    known: np.ndarray
    rotation: Rotation
    position: np.ndarray
    fps: float
    table: str
    notes: tuple[str, ...] = ()
    t_pose: bool = False

    def at(self, times: np.ndarray, *, last: int | None = None) -> np.ndarray:
        """Returns poses (T, J, 3) at these times, by cubic splines through the joints' paths.

        times: in s from the first frame.
        last: the splines know nothing of the frames after this one.
        """
        return self.between(self.body, times, last)

    def person_at(self, times: np.ndarray, *, last: int | None = None) -> np.ndarray | None:
        """Returns the same with the person's own bone lengths, true mm.

        None where the skeleton's are meant.
        """
        return None if self.person is None else self.between(self.person, times, last)

    def between(self, poses: np.ndarray, times: np.ndarray, last: int | None) -> np.ndarray:
        """Interpolates poses (F, J, 3).

        Frames so far from these times that a spline does not feel them are left out.
        """
        end = len(poses) if last is None else last + 1
        first = max(0, min(int(times.min() * self.fps) - FELT_FRAMES, end - 2))
        end = min(end, max(int(times.max() * self.fps) + FELT_FRAMES, first + 2))
        known = poses[first:end].reshape(end - first, -1)
        return CubicSpline(np.arange(first, end) / self.fps, known)(times).reshape(len(times), -1, 3)


def as_array(positions: Any) -> np.ndarray:
    """Returns a list, array or tensor as an array of float64.

    InputError if it holds no finite numbers, or is ragged.
    """
    try:
        array = np.asarray(positions.detach().cpu() if hasattr(positions, 'detach') else positions)
        if array.dtype.kind not in 'fiu':
            raise ValueError
        array = array.astype(np.float64)
    except (ValueError, TypeError, RuntimeError):
        raise InputError('positions must be numbers: a list, array or tensor (frames, joints, 3)') from None
    if not np.isfinite(array).all():
        raise InputError('positions must be finite numbers; fill gaps in a recording first')
    return array


def motion_of_positions(positions: Any, dataset: str, *, fps: float, units: str,
                        joints: str | Path | None = None,
                        up: str | None = None, mirror_x: bool = False) -> Motion:
    """Makes a motion of joint positions (F, J, 3) or (F, 3 J), a list, array or tensor.

    joints: their order, a built-in table or a CSV file; without it, their number says it.
    units, up and mirror_x: see `motion_of_joints`.
    InputError if they cannot be a person's motion.
    """
    array = as_array(positions)
    if array.ndim == 2 and array.shape[1] % 3 == 0:
        array = array.reshape(len(array), -1, 3)
    if array.ndim != 3 or array.shape[2] != 3 or len(array) < 2:
        raise InputError(f'positions of shape {array.shape}: a {dataset} model takes 2 or more frames as '
                         f'(F, J, 3) or (F, 3 J)')
    table, found = find_ordered(array, dataset, joints)
    zero = ~array.any(-1)  # (F, J)
    gaps = zero & ~zero.all(0)
    if gaps.any():
        frame, joint = np.argwhere(gaps)[0]
        raise InputError(f'frame {frame}: joint {joint} lies at (0, 0, 0), but not in all frames: a gap; '
                         'fill gaps in a recording first')
    own = {joint: array[:, list(columns)].mean(1) for joint, columns in found.items()}
    return motion_of_joints(own, dataset, table=table, fps=fps, units=units, up=up, mirror_x=mirror_x)


def motion_of_joints(joints: Joints, dataset: str, *, table: str, fps: float, units: str | None,
                     up: str | None = None, mirror_x: bool = False, root: Rotation | None = None,
                     notes: tuple[str, ...] = ()) -> Motion:
    """Makes a motion of the positions of a body's joints, in the world or root-centred.

    units: of the positions; where None, the unit in which the body is of a person's size is assumed and said.
    up: the axis that points up (y where None).
    mirror_x: the axes are left-handed.
    root: (F,) the body's rotation as a file tells it, of which the hips may show that it is not the body's.
    InputError if it cannot be a person's motion.
    """
    skeleton = dataset_named(dataset).skeleton
    if units is None:
        units, note = assumed_unit(joints)
        notes += (note,)
    with np.errstate(over='ignore', invalid='ignore'):  # what overflows is refused below
        world = {joint: place * unit_mm(units) for joint, place in joints.items()}
        check_size(world, units)
    turn = up_rotation(up)
    mirror = np.array([-1.0 if mirror_x else 1.0, 1.0, 1.0])
    world = {joint: turn.apply(place * mirror) for joint, place in world.items()}
    centred = {joint: place - world['pelvis'] for joint, place in world.items()}
    check_limbs(centred)
    rotation = frames = trunk_frames(centred, dataset)
    notes += check_axes(centred, frames, keeps_rotation=dataset == '3dpw', given=up is not None)
    if table == MODEL_TABLE[dataset] and dataset != '3dpw':
        rotation = anchored(centred, dataset, skeleton) or frames
        if root is not None and not mirror_x:
            rotation, more = trusted_rotation(turn * root, rotation)
            notes += more
    names = model_joints(dataset)
    known = np.array([name in centred for name in names])
    recorded = np.stack([centred.get(name, np.zeros_like(centred['pelvis'])) for name in names], axis=1)
    matrices = rotation.as_matrix()
    recorded = np.einsum('fji,fpj->fpi', matrices, recorded)  # transposed: into the body
    fitted = put_on_model(recorded, known, skeleton, keep_lengths=dataset == '3dpw')
    if dataset == '3dpw':  # its poses keep their rotation
        body = np.einsum('fij,fpj->fpi', matrices, fitted.body)
        return Motion(body, None, known, Rotation.identity(len(body)), world['pelvis'], checked_fps(fps),
                      table, notes)
    return Motion(fitted.body, fitted.person, known, rotation, world['pelvis'], checked_fps(fps), table,
                  notes)


def trusted_rotation(root: Rotation, hips: Rotation) -> tuple[Rotation, tuple[str, ...]]:
    """Returns the body's rotation as its root tells it, and notes; as its hips do where these are far apart.

    root, hips: (F,) each.
    """
    apart = float(np.median(np.rad2deg((root.inv() * hips).magnitude())))
    if apart <= TURNED_PELVIS_DEGREES:
        return root, ()
    return hips, (f'the pelvis is turned by {apart:.0f} degrees under its root: the hips tell how the body '
                  'is turned',)


def body_rotations(centred: np.ndarray, dataset: str) -> Rotation:
    """Returns (F,) rotations of the body from the positions of all of a dataset's joints.

    3DPW's poses keep their rotation.

    centred: (F, J, 3) root-centred.
    InputError where the positions do not tell how the body is turned.
    """
    if dataset == '3dpw':
        return Rotation.identity(len(centred))
    joints = dict(zip(model_joints(dataset), centred.transpose(1, 0, 2), strict=True))
    return anchored(joints, dataset, dataset_named(dataset).skeleton) or trunk_frames(joints, dataset)


def assumed_unit(joints: Joints) -> tuple[str, str]:
    """Returns the unit in which the farthest joint is nearest to 1 m from the root, and a note.

    InputError if none fits.
    """
    size = float(np.median(reach_of(joints)))
    unit = min(UNITS_MM, key=lambda name: abs(np.log(max(size * UNITS_MM[name], 1e-9) / 1000)))
    if not BODY_SIZE_MM[0] <= size * UNITS_MM[unit] <= BODY_SIZE_MM[1]:
        raise InputError(f'the farthest joint is {size:.4g} of its units from the root: a person in no unit '
                         f'that is known ({", ".join(UNITS_MM)})')
    return unit, f'unit {unit} (assumed from the body\'s size; --units says another)'


def reach_of(joints: Joints) -> np.ndarray:
    """Returns (F,) how far the farthest joint is from the root."""
    return np.linalg.norm(np.stack(list(joints.values()), 1) - joints['pelvis'][:, None], axis=-1).max(1)


def check_size(world: Joints, units: str) -> None:
    """Raises InputError if the body, in mm, is not of a person's size."""
    reach = reach_of(world)
    size = np.median(reach)
    if not BODY_SIZE_MM[0] <= size <= BODY_SIZE_MM[1]:
        raise InputError(f'the farthest joint is {size:.4g} mm from the root: nobody is that size; check '
                         f'the units ({units})')
    if len(far := np.flatnonzero(~(reach <= FARTHEST_JOINT_MM))):
        raise InputError(f'frame {far[0]}: a joint is {reach[far[0]] / 1000:.4g} m from the root')


def check_limbs(centred: Joints) -> None:
    """Raises InputError if a limb has no length."""
    for side in ('left', 'right'):
        for upper, lower in LIMBS:
            ends = f'{side}_{upper}', f'{side}_{lower}'
            if np.median(np.linalg.norm(centred[ends[1]] - centred[ends[0]], axis=-1)) < 10:
                raise InputError(f'{ends[0]} and {ends[1]} are at one place: the bone between them has no '
                                 f'length')


def motion_of_rotations(rotations: np.ndarray, dataset: str, *, root: Rotation, position: np.ndarray,
                        fps: float, notes: tuple[str, ...] = (), t_pose: bool = False) -> Motion:
    """Puts exponential maps (F, J, 3), as the benchmark stores them, on its skeleton.

    The root's rotation is left out.
    """
    skeleton = dataset_named(dataset).skeleton
    rotations = rotations.copy()
    rotations[:, 0] = 0
    known = np.ones(len(skeleton.joints), dtype=bool)
    return Motion(joint_positions(rotations, skeleton), None, known, root, position, checked_fps(fps),
                  MODEL_TABLE[dataset], notes, t_pose)


def unit_mm(units: str) -> float:
    """Returns true millimetres in a unit."""
    if units not in UNITS_MM:
        raise InputError(f'unit {units!r}: choose one of {", ".join(UNITS_MM)}')
    return UNITS_MM[units]


def checked_fps(fps: float) -> float:
    """Checks a frame rate. InputError if no camera has it."""
    if not 0.1 <= fps < 1e4:
        raise InputError(f'--fps {fps:g}: no camera has that')
    return float(fps)
