"""Evaluates a predictor on every window of a split. This is the only evaluation loop."""
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.common import distributed
from utils.common.progress import Progress
from utils.data.skeleton import Skeleton
from utils.data.windows import Batch, Windows
from utils.evaluate.metrics import (
    acceleration_errors,
    bone_length_errors,
    by_action,
    frame_errors,
    joints_within,
)


class FrameErrors(NamedTuple):
    """Measurements of every window at every frame, each (W, T_out) on the CPU."""

    all_joints: Tensor  # MPJPE over all joints, mm
    predicted_joints: Tensor  # MPJPE over the predicted joints, mm
    acceleration_error: Tensor  # over the predicted joints, mm per frame squared
    own_acceleration: Tensor  # of the prediction, likewise
    true_acceleration: Tensor  # of the ground truth, likewise
    bone_length: Tensor  # error, mm
    within: Tensor  # PCK at each of PCK_MM, over the predicted joints, (W, T_out, len(PCK_MM))


@torch.inference_mode()
def evaluate(predict: Callable[..., Tensor], windows: Windows, skeleton: Skeleton, *, batch_size: int,
             title: str) -> FrameErrors:
    """Measures a predictor's errors on every window.

    Several processes share the windows. Each of them gets all errors.

    predict: observed poses (B, T_in, N) in mm and DCT coefficients (B, N, K) -> poses (B, T_out, N) in mm.
    title: of the progress bar.
    """
    own = distributed.own_batches(len(windows), batch_size)

    def errors(batch: Batch) -> tuple[Tensor, ...]:
        predicted = predict(batch.observed, batch.coefficients)
        return (*frame_errors(predicted, batch.future_all, skeleton),
                *acceleration_errors(predicted, batch.future, batch.observed),
                bone_length_errors(predicted, batch.future_all, skeleton),
                joints_within(predicted, batch.future_all, skeleton))

    batches = Progress(windows.batches(batch_size, order=own), total=-(-len(own) // batch_size), desc=title,
                       unit=' batches', quiet=distributed.rank() > 0)
    parts = [errors(batch) for batch in batches]
    return FrameErrors(*(distributed.all_rows(torch.cat(part).cpu(), own, len(windows))
                         for part in zip(*parts, strict=True)))


def validate(network: nn.Module, windows: Windows, skeleton: Skeleton, *,
             batch_size: int) -> dict[str, float]:
    """Returns means over the actions and all frames of the validation windows.

    'validation' is the MPJPE in mm, which selects an epoch.
    'acceleration_error', and 'acceleration' of the prediction itself, are in mm per frame squared.
    'bone_error' is that of the bones' lengths in mm.
    The network is left in evaluation mode.
    """
    network.eval()
    errors = evaluate(lambda *views: network(*views).fused, windows, skeleton, batch_size=batch_size,
                      title='validating')
    measured = {'validation': errors.all_joints, 'acceleration_error': errors.acceleration_error,
                'acceleration': errors.own_acceleration, 'bone_error': errors.bone_length}
    averages = {name: by_action(values, windows.action_index, windows.actions)['avg']
                for name, values in measured.items()}
    return {name: sum(average) / len(average) for name, average in averages.items()}
