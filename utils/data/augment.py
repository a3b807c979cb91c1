"""Changes training windows: mirrored, backwards, at other speeds, or moved. None of it is in the paper."""
import math
from dataclasses import dataclass

import torch
from torch import Tensor


def mirrored(poses: Tensor, mirror_index: Tensor) -> Tensor:
    """Exchanges left and right.

    poses: (..., 3 J) root-centred, in any unit. Their x axis must point sideways.
    mirror_index: (J,) for each joint the one on the other side of the body.
    Returns (..., 3 J).
    """
    joints = poses.unflatten(-1, (-1, 3))[..., mirror_index, :]
    return (joints * joints.new_tensor([-1, 1, 1])).flatten(-2)  # x is lateral


@dataclass(frozen=True)
class Augmentation:
    """Changes a training window each time it is taken.

    mirror: probability that left and right change places.
    reverse: probability that the window runs backwards.
    stretch: motion runs up to 1 + stretch times faster or slower.
    shift: standard deviation in mm of a constant that each coordinate moves by. It changes poses, not motion.
    mirror_index: (J,) for each joint the one on the other side of the body.
    """

    mirror: float
    reverse: float
    stretch: float
    shift: float
    mirror_index: Tensor

    def windows(self, frames: Tensor, starts: Tensor, ends: Tensor, length: int) -> Tensor:
        """Returns changed windows (B, length, 3 J) in mm.

        frames: (F, 3 J) in mm.
        starts: (B,) first frame of each window.
        ends: (B,) the frame after the recording that each window is from.
        """
        offsets = torch.arange(length, device=starts.device)
        window = (self.stretched(frames, starts, ends, offsets) if self.stretch
                  else frames[starts[:, None] + offsets])
        if self.mirror:
            window = torch.where(chosen(window, self.mirror), mirrored(window, self.mirror_index), window)
        if self.reverse:
            window = torch.where(chosen(window, self.reverse), window.flip(1), window)
        return window + self.shift * torch.randn_like(window[:, :1]) if self.shift else window

    def stretched(self, frames: Tensor, starts: Tensor, ends: Tensor, offsets: Tensor) -> Tensor:
        """Returns windows (B, T, 3 J) at drawn speeds.

        Poses between two frames are linear between them.
        Near the end of a recording a window is no faster than the frames that are left allow.

        offsets: (T,) 0, 1, ..., T - 1.
        """
        room = ends - 1 - starts  # frames after the first one
        # Uniform in the logarithm: a window runs slower as often as faster.
        factor = torch.exp(math.log1p(self.stretch) * (2 * torch.rand(len(starts), device=starts.device) - 1))
        times = torch.minimum(factor, room / offsets[-1])[:, None] * offsets  # (B, T), frames after the first
        below = times.long()
        above = torch.minimum(below + 1, room[:, None])
        earlier, later = frames[starts[:, None] + below], frames[starts[:, None] + above]
        return torch.lerp(earlier, later, (times - below)[..., None])


def chosen(window: Tensor, share: float) -> Tensor:
    """Draws (B, 1, 1) booleans for windows (B, T, 3 J). Each is true with probability `share`."""
    return torch.rand(len(window), 1, 1, device=window.device) < share
