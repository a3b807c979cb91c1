"""Errors and the training loss (KSOF section 3.5). Poses are in mm; T frames of N = 3 J coordinates."""
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.ksof import Prediction

TYPICAL_ERROR_MM = 25.0  # where the learned weights start: at their optimum for a path that is this far off


def joint_distances(predicted: Tensor, truth: Tensor) -> Tensor:
    """Euclidean distances of joints, (..., N) and (..., N) -> (..., J), mm."""
    assert predicted.shape == truth.shape, f'{tuple(predicted.shape)} predicted, {tuple(truth.shape)} true'
    return (predicted - truth).unflatten(-1, (-1, 3)).norm(dim=-1)


def mpjpe(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean per joint position error: the mean distance over batch, frames and joints, mm."""
    return joint_distances(predicted, truth).mean()


def joint_point_smoothness(poses: Tensor) -> Tensor:
    """JPS: the mean norm of the joints' second differences along time (B, T, N), mm per frame squared. T >= 3."""
    if poses.shape[1] < 3:
        raise ValueError(f'joint point smoothness needs at least 3 frames, got {poses.shape[1]}')
    acceleration = torch.diff(poses, n=2, dim=1)
    return acceleration.unflatten(-1, (-1, 3)).norm(dim=-1).mean()


def near_frames_first(predicted: Tensor, truth: Tensor, power: float) -> Tensor:
    """A mean of the (B, T, N) poses' joint distances, mm, in which predicted frame k, from 1, counts k^-power."""
    weights = torch.arange(1, truth.shape[1] + 1, device=truth.device).float() ** -power
    return joint_distances(predicted, truth).mean((0, 2)) @ (weights / weights.sum())


class LossMeans(NamedTuple):
    """Scalars of one batch, each a mean over its windows, of which `combine` makes the loss.

    fused, temporal, spatial: MPJPE of the three predictions, mm.
    jps: joint point smoothness of the fused prediction, mm per frame squared.
    beyond: what is added beyond the paper, 0 without it.
    """

    fused: Tensor
    temporal: Tensor
    spatial: Tensor
    jps: Tensor
    beyond: Tensor


class LossTerms(NamedTuple):
    """Scalars of one batch: the total that is minimised and what it is made of."""

    total: Tensor
    fused: Tensor
    temporal: Tensor
    spatial: Tensor
    jps: Tensor
    a: Tensor
    b: Tensor


class KSOFLoss(nn.Module):
    """MPJPE of the fused prediction, plus both paths weighted by learned uncertainties a (S-GCN) and b (K-TCN and JPS).

    total = MPJPE(Y) + L_S / (2 a^2) + L_T / (2 b^2) + log a + log b with L_T = L_K^2 + jps_weight * JPS(Y)^2. The
    logarithms are the parameters, which keeps a and b positive. For given losses the total is least at a^2 = L_S,
    b^2 = L_T; starting there for a typical error spares the thousands of steps that a, b = 1 would need to get there.
    Without learned_weights a and b stay there. Beyond the paper near_frames is the power by which near frames count more in
    MPJPE(Y), and velocity_weight times the mean error of the fused velocities is added.
    """

    def __init__(self, jps_weight: float = 1.0, velocity_weight: float = 0.0, near_frames: float = 0.0,
                 learned_weights: bool = True):
        super().__init__()
        self.jps_weight, self.velocity_weight, self.near_frames = jps_weight, velocity_weight, near_frames
        self.log_a = nn.Parameter(torch.tensor(math.log(TYPICAL_ERROR_MM) / 2), requires_grad=learned_weights)
        self.log_b = nn.Parameter(torch.tensor(math.log(TYPICAL_ERROR_MM)), requires_grad=learned_weights)

    def forward(self, prediction: Prediction, truth: Tensor) -> LossTerms:
        """Returns named terms for predictions and ground truth (B, T_out, N) in mm.

        `fused` is the plain MPJPE; what is beyond the paper is in the total alone.
        """
        return self.combine(self.means(prediction, truth))

    def means(self, prediction: Prediction, truth: Tensor) -> LossMeans:
        """Returns the means over the batch. Several processes average them before `combine` squares some."""
        fused = mpjpe(prediction.fused, truth)
        beyond = torch.zeros_like(fused)
        if self.near_frames:
            beyond = beyond + near_frames_first(prediction.fused, truth, self.near_frames) - fused
        if self.velocity_weight:
            beyond = beyond + self.velocity_weight * mpjpe(prediction.fused.diff(dim=1), truth.diff(dim=1))
        return LossMeans(fused, mpjpe(prediction.temporal, truth), mpjpe(prediction.spatial, truth),
                         joint_point_smoothness(prediction.fused), beyond)

    def combine(self, means: LossMeans) -> LossTerms:
        """Weights the means by the learned uncertainties and adds them up."""
        fused, temporal, spatial, jps, beyond = means
        weighted_spatial = spatial / 2 * torch.exp(-2 * self.log_a) + self.log_a
        weighted_temporal = (temporal**2 + self.jps_weight * jps**2) / 2 * torch.exp(-2 * self.log_b) + self.log_b
        total = fused + weighted_spatial + weighted_temporal + beyond
        return LossTerms(total, fused, temporal, spatial, jps, self.log_a.exp().detach(), self.log_b.exp().detach())
