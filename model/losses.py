"""Errors and the training loss (KSOF section 3.5).

B windows, T predicted frames, N = 3 J coordinates. Poses are in mm.
"""
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.ksof import Prediction

TYPICAL_ERROR_MM = 25.0  # where a and b start: at their optimum for a path that is this far off
MEMORY = 0.99  # of the running mean of the errors by joint and frame


def joint_distances(predicted: Tensor, truth: Tensor) -> Tensor:
    """Returns the Euclidean distances of joints, (..., N) and (..., N) -> (..., J), mm."""
    assert predicted.shape == truth.shape, f'{tuple(predicted.shape)} predicted, {tuple(truth.shape)} true'
    return (predicted - truth).unflatten(-1, (-1, 3)).norm(dim=-1)


def mpjpe(predicted: Tensor, truth: Tensor) -> Tensor:
    """Returns the mean per joint position error: the mean distance over windows, frames and joints, mm."""
    return joint_distances(predicted, truth).mean()


def joint_point_smoothness(poses: Tensor) -> Tensor:
    """Returns JPS: the mean norm of the joints' second differences along time, mm per frame squared.

    poses: (B, T, N), mm. ValueError unless T >= 3.
    """
    if poses.shape[1] < 3:
        raise ValueError(f'joint point smoothness needs at least 3 frames, got {poses.shape[1]}')
    acceleration = torch.diff(poses, n=2, dim=1)
    return acceleration.unflatten(-1, (-1, 3)).norm(dim=-1).mean()


class LossMeans(NamedTuple):
    """Means over the windows of one batch, of which `combine` makes the loss.

    errors: (T, J) distances of the fused prediction's joints from the ground truth, mm.
    temporal, spatial: () MPJPE of the K-TCN's and the S-GCN's own prediction, mm.
    jps: () joint point smoothness of the fused prediction, mm per frame squared.
    velocity: () error of the fused prediction's steps between frames, mm.
    """

    errors: Tensor
    temporal: Tensor
    spatial: Tensor
    jps: Tensor
    velocity: Tensor


class LossTerms(NamedTuple):
    """Scalars of one batch: the total that is minimised and its parts. `fused` is the plain MPJPE."""

    total: Tensor
    fused: Tensor
    temporal: Tensor
    spatial: Tensor
    jps: Tensor
    a: Tensor
    b: Tensor


class KSOFLoss(nn.Module):
    """Adds the fused error and both paths' errors, the latter weighted by learned uncertainties.

    total = MPJPE(Y) + L_S / (2 a^2) + L_T / (2 b^2) + log a + log b, L_T = L_K^2 + jps_weight * JPS(Y)^2.
    For given errors the total is least at a^2 = L_S and b^2 = L_T. log a and log b are the parameters, so
    that a and b stay positive.

    jps_weight: weight of the squared joint point smoothness; 1 in the paper.
    learned_weights: whether a and b are learned, or stay where they begin.
    Beyond the paper:
    velocity_weight: weight of the error of the fused prediction's velocities.
    path_weight: weight of L_S and L_K beside the learned weights.
    near_frames: in MPJPE(Y) predicted frame k, from 1, counts k to the power of minus this.
    error_weighting: in MPJPE(Y) each joint and frame counts its own mean error to the power of minus this.
        This is the maximum likelihood of errors whose size is known, as a and b are for the two paths.
    frames, joints: T and J, needed for error_weighting alone.
    """

    terms: tuple[str, ...] = LossTerms._fields  # those that say something of this loss
    typical: Tensor
    steps: Tensor

    def __init__(self, jps_weight: float = 1.0, velocity_weight: float = 0.0, near_frames: float = 0.0,
                 learned_weights: bool = True, *, path_weight: float = 0.0, error_weighting: float = 0.0,
                 frames: int = 0, joints: int = 0):
        super().__init__()
        self.jps_weight, self.velocity_weight, self.path_weight = jps_weight, velocity_weight, path_weight
        self.near_frames, self.error_weighting = near_frames, error_weighting
        self.log_a = nn.Parameter(torch.tensor(math.log(TYPICAL_ERROR_MM) / 2), requires_grad=learned_weights)
        self.log_b = nn.Parameter(torch.tensor(math.log(TYPICAL_ERROR_MM)), requires_grad=learned_weights)
        if error_weighting:
            self.register_buffer('typical', torch.ones(frames, joints))
            self.register_buffer('steps', torch.zeros(()))

    def forward(self, prediction: Prediction, truth: Tensor) -> LossTerms:
        """Returns the named terms of predictions and ground truth (B, T, N) in mm."""
        return self.combine(self.means(prediction, truth))

    def means(self, prediction: Prediction, truth: Tensor) -> LossMeans:
        """Returns means over the batch. Several processes average them before `combine` squares some."""
        return LossMeans(
            errors=joint_distances(prediction.fused, truth).mean(0),
            temporal=mpjpe(prediction.temporal, truth),
            spatial=mpjpe(prediction.spatial, truth),
            jps=joint_point_smoothness(prediction.fused),
            velocity=mpjpe(prediction.fused.diff(dim=1), truth.diff(dim=1)),
        )

    def combine(self, means: LossMeans) -> LossTerms:
        """Weights the means and adds them up. In training the running means of the errors move on."""
        if self.training and self.error_weighting:
            self.remember(means.errors.detach())
        total = sum(self.addends(means).values(), self.log_a + self.log_b)
        return LossTerms(total, means.errors.mean(), means.temporal, means.spatial, means.jps,
                         self.log_a.exp().detach(), self.log_b.exp().detach())

    def addends(self, means: LossMeans) -> dict[str, Tensor]:
        """Returns what the total is the sum of, besides log a and log b."""
        a_squared, b_squared = torch.exp(2 * self.log_a), torch.exp(2 * self.log_b)
        addends = {'fused': (means.errors * self.weights(means.errors)).mean(),
                   'spatial': means.spatial / (2 * a_squared),
                   'temporal': means.temporal**2 / (2 * b_squared),
                   'jps': self.jps_weight * means.jps**2 / (2 * b_squared)}
        if self.velocity_weight:
            addends['velocity'] = self.velocity_weight * means.velocity
        if self.path_weight:
            addends['paths'] = self.path_weight * (means.temporal + means.spatial)
        return addends

    def weights(self, errors: Tensor) -> Tensor:
        """Returns how much each frame and joint of the fused error counts, (T, J) or (T, 1), of mean 1."""
        weights = errors.new_ones(len(errors), 1)
        if self.near_frames:
            weights = torch.arange(1, len(errors) + 1, device=errors.device)[:, None] ** -self.near_frames
        if self.error_weighting:
            weights = weights * self.typical**-self.error_weighting
        return weights / weights.mean()

    @torch.no_grad()
    def remember(self, errors: Tensor) -> None:
        """Moves the running means of the errors (T, J) on by one step. At first they are plain means."""
        self.steps += 1
        change = torch.where(errors.isfinite(), errors - self.typical, 0)
        self.typical += change * (1 / self.steps).clamp(min=1 - MEMORY)
        self.typical.clamp_(min=1e-3)


class MPJPELoss(KSOFLoss):
    """Takes the MPJPE of a network without paths, and what else is asked for. KSOFLoss has the parameters."""

    terms = ('total', 'fused', 'jps')

    def __init__(self, velocity_weight: float = 0.0, near_frames: float = 0.0, *,
                 error_weighting: float = 0.0, frames: int = 0, joints: int = 0):
        super().__init__(0.0, velocity_weight, near_frames, learned_weights=False,
                         error_weighting=error_weighting, frames=frames, joints=joints)
        nn.init.zeros_(self.log_a)  # log a and log b add nothing to the total
        nn.init.zeros_(self.log_b)

    def addends(self, means: LossMeans) -> dict[str, Tensor]:
        """Returns the weighted errors, and those of velocities where they have a weight."""
        addends = super().addends(means)
        return {name: addends[name] for name in ('fused', 'velocity') if name in addends}
