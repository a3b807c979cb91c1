"""Positions as a BVH file that animation programs open: every joint with a place and a turn of its own."""
import numpy as np
from scipy.spatial.transform import Rotation

from utils.data.skeleton import Skeleton
from utils.mocap.body import rest_offsets, smallest_turns

CHANNELS = 'CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation'
MM_PER_UNIT = 10  # centimetres, as most programs take them
END_SHARE = 0.1  # an end site lies this share of its joint's bone farther on: it only gives the bone a tip


def bvh_text(poses: np.ndarray, skeleton: Skeleton, fps: float) -> str:
    """Returns the text of a BVH file in centimetres.

    poses: (F, J, 3) mm of all joints of the skeleton, upright along y. A network's bones change their length
    a little, so every joint has position channels; its turn points the bone at its first child. Rest offsets
    have the bones' mean lengths along the skeleton's own rest directions.
    """
    rest = rest_lengths(poses, skeleton) / MM_PER_UNIT
    columns, turns = [], frames_of_joints(poses, skeleton)
    for joint, parent in enumerate(skeleton.parents):
        place, turn = poses[:, joint], turns[joint]
        if parent >= 0:
            above = turns[parent].transpose(0, 2, 1)
            place, turn = np.einsum('fij,fj->fi', above, place - poses[:, parent]), above @ turn
        columns += [place / MM_PER_UNIT, Rotation.from_matrix(turn).as_euler('ZYX', degrees=True)]
    lines = ['HIERARCHY']
    order = write_joint(lines, skeleton, rest, 0, 0)
    values = np.concatenate([np.concatenate(columns[2 * joint: 2 * joint + 2], axis=1) for joint in order],
                            axis=1)
    lines += ['MOTION', f'Frames: {len(poses)}', f'Frame Time: {1 / fps:.7f}']
    lines += [' '.join(f'{value:.6f}' for value in row) for row in values]
    return '\n'.join(lines) + '\n'


def rest_lengths(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Returns (J, 3) rest offsets in mm: the skeleton's rest directions, the poses' mean lengths."""
    rest = rest_offsets(skeleton)
    scaled = np.zeros_like(rest)
    for joint, parent in enumerate(skeleton.parents):
        length = np.linalg.norm(rest[joint])
        if parent >= 0 and length > 1e-6:
            mean = np.linalg.norm(poses[:, joint] - poses[:, parent], axis=-1).mean()
            scaled[joint] = rest[joint] * mean / length
        elif parent >= 0:  # the skeleton has no such bone, the person has
            scaled[joint] = (poses[:, joint] - poses[:, parent]).mean(0)
    return scaled


def frames_of_joints(poses: np.ndarray, skeleton: Skeleton) -> list[np.ndarray]:
    """Returns for each joint its turn from the rest pose, (F, 3, 3).

    It turns as the joint above does, then on to its first child.
    """
    rest = rest_offsets(skeleton)
    turns = [np.tile(np.eye(3), (len(poses), 1, 1))]
    for joint in range(1, len(skeleton.parents)):
        turn = turns[skeleton.parents[joint]]
        child = next((j for j, parent in enumerate(skeleton.parents)
                      if parent == joint and np.linalg.norm(rest[j]) > 1e-6), None)
        if child is not None:
            bone = poses[:, child] - poses[:, joint]
            usable = np.linalg.norm(bone, axis=-1) > 1e-6
            turn = turn.copy()
            turn[usable] = smallest_turns(turn[usable] @ rest[child], bone[usable]) @ turn[usable]
        turns.append(turn)
    return turns


def write_joint(lines: list[str], skeleton: Skeleton, rest: np.ndarray, joint: int, depth: int) -> list[int]:
    """Appends a joint's block and its children's to the hierarchy.

    Returns the joints in the order of their channels.
    """
    pad = '\t' * depth

    def offset(vector: np.ndarray) -> str:
        return 'OFFSET ' + ' '.join(f'{value:.6f}' for value in vector)

    lines += [f'{pad}{"JOINT" if depth else "ROOT"} {skeleton.joints[joint]}', f'{pad}{{',
              f'{pad}\t{offset(rest[joint])}', f'{pad}\t{CHANNELS}']
    order = [joint]
    children = [j for j, parent in enumerate(skeleton.parents) if parent == joint]
    for child in children:
        order += write_joint(lines, skeleton, rest, child, depth + 1)
    if not children:
        lines += [f'{pad}\tEnd Site', f'{pad}\t{{', f'{pad}\t\t{offset(END_SHARE * rest[joint])}',
                  f'{pad}\t}}']
    lines.append(f'{pad}}}')
    return order
