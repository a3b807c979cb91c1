"""Turns exponential maps into joint positions (forward kinematics)."""
import numpy as np

from utils.data.skeleton import Skeleton


def joint_positions(rotations: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Computes root-centred joint positions of exponential-map poses, all frames at once.

    The files store rotations for row vectors: a child's global rotation is its own times its parent's, and an
    offset stands on the left of the rotation that turns it. Golden values of the benchmark agree to 0.001 mm.

    rotations: (F, J, 3) exponential maps in radians, each relative to the parent's frame.
    Returns (F, J, 3) in the skeleton's mm.
    Raises ValueError for another number of joints than the skeleton has.
    """
    from scipy.spatial.transform import Rotation  # loaded where it is used: --help does not wait for it

    frames, joints = rotations.shape[:2]
    if joints != len(skeleton.joints):
        raise ValueError(f'{joints} rotations a frame, but the skeleton has {len(skeleton.joints)} joints')
    local = Rotation.from_rotvec(rotations.reshape(-1, 3)).as_matrix().reshape(frames, joints, 3, 3)
    world = local.copy()  # the root's is its own
    positions = np.zeros((frames, joints, 3))
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            world[:, joint] = local[:, joint] @ world[:, parent]
            positions[:, joint] = positions[:, parent] + skeleton.offsets[joint] @ world[:, parent]
    return positions
