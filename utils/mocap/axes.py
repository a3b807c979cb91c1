"""Which way a body faces: its frame in each pose, and whether a recording's axes are those they should be."""
import numpy as np
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.data.kinematics import joint_positions
from utils.data.skeleton import Skeleton
from utils.mocap.joints import model_joints

UP = {'y': (0, 0, 0), '-y': (180, 0, 0), 'z': (-90, 0, 0), '-z': (90, 0, 0), 'x': (0, 0, 90),
      '-x': (0, 0, -90)}  # turns, x y z
# Joints that turn with the root and nothing else; they tell how the body is turned.
ANCHORS = {'h36m': ('right_hip', 'left_hip', 'lower_back'), 'cmu': ('left_hip', 'right_hip')}
# How far the way from root to neck leans forward in the body's frame. CMU: 4 degrees, the median of the 28
# training files of the benchmark (standard deviation 8 over all frames, 1 to 10 within a file). Human3.6M:
# upright by its rest pose.
TRUNK_PITCH_DEGREES = {'cmu': 4.0, 'h36m': 0.0, '3dpw': 0.0}
BENT_KNEE = 0.07  # a knee this far off the line from hip to ankle, in legs' lengths, shows where the front is


def up_rotation(up: str | None) -> Rotation:
    """Returns the rotation that turns the named axis up, to y. InputError for another name."""
    if up not in (None, *UP):
        raise InputError(f'--up {up}: choose one of {", ".join(UP)}')
    return Rotation.from_euler('xyz', UP[up or 'y'], degrees=True)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scales vectors (..., 3) to length 1; one without length stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def trunk_frames(centred: dict[str, np.ndarray], dataset: str) -> Rotation:
    """Returns (F,) rotations of the body: x from right to left hip, y along the trunk but for its usual lean.

    centred: joint -> (F, 3) root-centred.
    InputError where hips, root and neck lie on one line.
    """
    left = unit(centred['left_hip'] - centred['right_hip'])
    trunk = unit(centred['neck'] - centred['pelvis'])
    across = trunk - np.sum(trunk * left, axis=-1, keepdims=True) * left
    flat = (np.linalg.norm(across, axis=-1) < 0.2) | (np.linalg.norm(left, axis=-1) < 0.5)
    if flat.any():
        raise InputError(f'frame {flat.argmax()}: hips and neck lie on one line with the root, so it cannot '
                         'be told how the body is turned')
    across = unit(across)
    ahead, lean = np.cross(left, across), np.deg2rad(TRUNK_PITCH_DEGREES[dataset])
    up = np.cos(lean) * across - np.sin(lean) * ahead
    return Rotation.from_matrix(np.stack([left, up, np.cross(left, up)], axis=-1))


def anchored(centred: dict[str, np.ndarray], dataset: str, skeleton: Skeleton) -> Rotation | None:
    """Returns (F,) rotations of the body by the dataset's own anchors.

    They are the least-squares fit of the anchors' directions; on the benchmark's own poses it is exact.
    None where the anchors lie on one line with the root, or where they are not as far apart as on the
    skeleton: of Human3.6M, a lower back that coincides with the root tells nothing.
    """
    names = ANCHORS[dataset]
    if not all(name in centred for name in names):
        return None
    rest = joint_positions(np.zeros((1, len(skeleton.joints), 3)), skeleton)[0]
    rest = unit(rest[[model_joints(dataset).index(name) for name in names]])
    places = np.stack([centred[name] for name in names], axis=1)
    lengths, directions = np.linalg.norm(places, axis=-1), unit(places)
    angles, expected = directions @ directions.transpose(0, 2, 1), rest @ rest.T
    if lengths.min() < 0.02 or np.median(np.abs(angles - expected).max((1, 2))) > 0.3:
        return None
    if (np.linalg.svd(directions, compute_uv=False)[:, 1] < 0.2).any():
        return None
    return Rotation.concatenate([Rotation.align_vectors(frame, rest)[0] for frame in directions])


def check_axes(centred: dict[str, np.ndarray], frames: Rotation, *, keeps_rotation: bool,
               given: bool) -> tuple[str, ...]:
    """Compares a recording with how people are built, and returns notes.

    Toes are ahead of ankles, knees bend forward, necks are on top.

    keeps_rotation: the model takes the world's up as it is.
    given: the user said which axis is up.
    InputError where the whole recording speaks against its axes.
    """
    front = frames.apply(np.tile([0.0, 0.0, 1.0], (len(frames), 1)))
    ahead = [np.sum(unit(centred[f'{side}_foot'] - centred[f'{side}_ankle']) * front, axis=-1)
             for side in ('left', 'right') if f'{side}_foot' in centred]
    what = 'toes point behind the ankles'
    if not ahead:
        what = 'knees bend backward'
        for side in ('left', 'right'):
            hip, knee, ankle = (centred[f'{side}_{joint}'] for joint in ('hip', 'knee', 'ankle'))
            bend = (knee - (hip + ankle) / 2) / np.linalg.norm(knee - hip, axis=-1, keepdims=True)
            ahead.append(np.sum(unit(bend) * front, axis=-1)[np.linalg.norm(bend, axis=-1) > BENT_KNEE])
    shown = np.concatenate(ahead)
    if len(shown) and np.median(shown) < -0.3:
        raise InputError(f'{what}: the axes are left-handed, or left and right are exchanged: add --mirror-x')
    if given:
        return ()
    ankles = (centred['left_ankle'] + centred['right_ankle']) / 2
    upward = unit(centred['neck'] - ankles).mean(0)
    axis = int(np.abs(upward).argmax())
    name = ('' if upward[axis] > 0 else '-') + 'xyz'[axis]
    if name == 'y' or abs(upward[axis]) < 0.8:
        return ()
    if keeps_rotation:
        raise InputError(f'{name} points up, and this model takes poses with y up: add --up {name}, or --up '
                         'y if the person lies')
    return (f'{name} points up: add --up {name} to have what is written upright',)
