"""Changed copies of training windows: the other side of the body, and other speeds."""
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training window each time it is taken.

    mirror: the probability that left and right change places. stretch: motion runs up to 1 + stretch times faster or slower.
    opposite: (J,) the joint on the other side, for each.
    """

    mirror: float
    stretch: float
    opposite: Tensor

    def windows(self, frames: Tensor, starts: Tensor, ends: Tensor, length: int) -> Tensor:
        """(B, length, 3 J) windows of (F, 3 J) frames from their starts (B,), in recordings that end before `ends` (B,)."""
        offsets = torch.arange(length, device=starts.device)
        window = self.stretched(frames, starts, ends, offsets) if self.stretch else frames[starts[:, None] + offsets]
        if not self.mirror:
            return window
        chosen = torch.rand(len(window), 1, 1, device=window.device) < self.mirror
        return torch.where(chosen, mirrored(window, self.opposite), window)

    def stretched(self, frames: Tensor, starts: Tensor, ends: Tensor, offsets: Tensor) -> Tensor:
        """Windows at drawn speeds, linear between frames; at the end of a recording no faster than what is left of it allows."""
        room = ends - 1 - starts  # frames after the first one
        factor = torch.exp(math.log1p(self.stretch) * (2 * torch.rand(len(starts), device=starts.device) - 1))
        times = torch.minimum(factor, room / offsets[-1])[:, None] * offsets  # (B, T), in frames from the start on
        below = times.long()
        above = torch.minimum(below + 1, room[:, None])
        return torch.lerp(frames[starts[:, None] + below], frames[starts[:, None] + above], (times - below)[..., None])


def mirrored(poses: Tensor, opposite: Tensor) -> Tensor:
    """Left and right exchanged, (..., 3 J) -> (..., 3 J): joints change places, and x, which is lateral, its sign."""
    joints = poses.unflatten(-1, (-1, 3))[..., opposite, :]
    return (joints * joints.new_tensor([-1, 1, 1])).flatten(-2)
