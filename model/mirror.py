"""Bodies seen in a mirror."""
from torch import Tensor


def mirrored(poses: Tensor, opposite: Tensor) -> Tensor:
    """Left and right exchanged, (..., 3 J) -> (..., 3 J): joints change places, and x, which is lateral, its sign."""
    joints = poses.unflatten(-1, (-1, 3))[..., opposite, :]
    return (joints * joints.new_tensor([-1, 1, 1])).flatten(-2)
