"""Changed copies of training windows: the other side of the body, backwards, other speeds, other poses with the same motion."""
import math
from dataclasses import dataclass

import torch
from torch import Tensor


def mirrored(poses: Tensor, mirror_index: Tensor) -> Tensor:
    """Exchanges left and right of poses (..., 3 J), in any unit.

    mirror_index: for each joint the one on the other side of the body, (J,).
    """
    joints = poses.unflatten(-1, (-1, 3))[..., mirror_index, :]
    return (joints * joints.new_tensor([-1, 1, 1])).flatten(-2)  # x is lateral


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training window each time it is taken.

    mirror: the probability that left and right change places. reverse: the probability that the last frame becomes the first.
    stretch: motion runs up to 1 + stretch times faster or slower. shift: each coordinate moves by a
    constant of this standard deviation, in mm: other poses with the same motion. opposite: (J,) the joint on the other side,
    for each.
    """

    mirror: float
    reverse: float
    stretch: float
    shift: float
    opposite: Tensor

    def windows(self, frames: Tensor, starts: Tensor, ends: Tensor, length: int) -> Tensor:
        """(B, length, 3 J) windows of (F, 3 J) frames from their starts (B,), in recordings that end before `ends` (B,)."""
        offsets = torch.arange(length, device=starts.device)
        window = self.stretched(frames, starts, ends, offsets) if self.stretch else frames[starts[:, None] + offsets]
        if self.mirror:
            window = torch.where(chosen(window, self.mirror), mirrored(window, self.opposite), window)
        if self.reverse:
            window = torch.where(chosen(window, self.reverse), window.flip(1), window)
        return window + self.shift * torch.randn_like(window[:, :1]) if self.shift else window

    def stretched(self, frames: Tensor, starts: Tensor, ends: Tensor, offsets: Tensor) -> Tensor:
        """Windows at drawn speeds, linear between frames; at the end of a recording no faster than what is left of it allows."""
        room = ends - 1 - starts  # frames after the first one
        factor = torch.exp(math.log1p(self.stretch) * (2 * torch.rand(len(starts), device=starts.device) - 1))
        times = torch.minimum(factor, room / offsets[-1])[:, None] * offsets  # (B, T), in frames from the start on
        below = times.long()
        above = torch.minimum(below + 1, room[:, None])
        return torch.lerp(frames[starts[:, None] + below], frames[starts[:, None] + above], (times - below)[..., None])


def chosen(window: Tensor, share: float) -> Tensor:
    """(B, 1, 1): true for a drawn share of the windows (B, T, 3 J)."""
    return torch.rand(len(window), 1, 1, device=window.device) < share
