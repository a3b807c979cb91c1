"""Errors as the protocols define them: MPJPE at each frame over all joints of the benchmark, by action."""
import torch
from torch import Tensor

from model.losses import joint_distances
from utils.data.skeleton import Skeleton


def complete_joints(predicted: Tensor, truth_all: Tensor, skeleton: Skeleton) -> Tensor:
    """All joints of a prediction as the field scores them: predicted, copied from a predicted one, or from the truth.

    predicted: (B, T, N) mm; truth_all: (B, T, 3 J) mm. Returns (B, T, 3 J).
    """
    joints = truth_all.unflatten(-1, (-1, 3)).clone()  # (B, T, J, 3)
    joints[:, :, list(skeleton.predicted)] = predicted.unflatten(-1, (-1, 3))
    joints[:, :, list(skeleton.copied)] = joints[:, :, list(skeleton.copied_from)]
    return joints.flatten(-2)


def frame_errors(predicted: Tensor, future_all: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """MPJPE of each window at each frame, (B, T) mm twice: over all J joints (the field's), over the predicted ones."""
    distances = joint_distances(complete_joints(predicted, future_all, skeleton), future_all)  # (B, T, J)
    return distances.mean(-1), distances[:, :, list(skeleton.predicted)].mean(-1)


def by_action(errors: Tensor, action_index: Tensor, actions: tuple[str, ...]) -> dict[str, list[float]]:
    """(W, T) errors -> mean error at each frame for every action that has windows, then 'avg', the mean of the actions.

    Sums are taken in double precision on the CPU, so that the result depends on neither batch size nor device.
    """
    errors, action_index = errors.double().cpu(), action_index.cpu()
    table = {action: errors[action_index == i].mean(0)
             for i, action in enumerate(actions) if (action_index == i).any()}
    table['avg'] = torch.stack(list(table.values())).mean(0)
    return {action: values.tolist() for action, values in table.items()}
