"""Computes errors as the protocols define them: MPJPE at each frame over all joints, by action.

Two errors of motion stand beside it: those of acceleration and of bone length.
"""
import itertools

import torch
from torch import Tensor

from model.losses import joint_distances
from utils.data.skeleton import Skeleton

ActionTable = dict[str, list[float]]  # action -> error at each frame, with 'avg' last
PCK_MM = (50.0, 100.0)  # a joint that is no farther from its place counts as correct


def complete_joints(predicted: Tensor, truth_all: Tensor, skeleton: Skeleton) -> Tensor:
    """Completes a prediction to all joints as the field scores them.

    A joint is predicted, copied from a predicted one at the same place, or taken from the ground truth.

    predicted: (B, T, N) in mm.
    truth_all: (B, T, 3 J) ground truth in mm.
    Returns (B, T, 3 J) in mm.
    """
    joints = truth_all.unflatten(-1, (-1, 3)).clone()  # (B, T, J, 3)
    joints[:, :, list(skeleton.predicted)] = predicted.unflatten(-1, (-1, 3))
    joints[:, :, list(skeleton.copied)] = joints[:, :, list(skeleton.copied_from)]
    return joints.flatten(-2)


def frame_errors(predicted: Tensor, future_all: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Returns the MPJPE of each window at each frame, twice (B, T) in mm.

    The first is over all J joints, as the field scores; the second over the predicted joints alone.
    """
    distances = joint_distances(complete_joints(predicted, future_all, skeleton), future_all)  # (B, T, J)
    return distances.mean(-1), distances[:, :, list(skeleton.predicted)].mean(-1)


def joints_within(predicted: Tensor, future_all: Tensor, skeleton: Skeleton) -> Tensor:
    """Returns PCK, the share of the predicted joints that are at most PCK_MM from their place.

    predicted: (B, T, N) mm.
    future_all: (B, T, 3 J) mm.
    Returns (B, T, len(PCK_MM)).
    """
    truth = future_all.unflatten(-1, (-1, 3))[:, :, list(skeleton.predicted)].flatten(-2)
    distances = joint_distances(predicted, truth)  # (B, T, J)
    return torch.stack([(distances <= limit).float().mean(-1) for limit in PCK_MM], dim=-1)


def up_to_frame(errors: list[float]) -> list[float]:
    """Returns at each frame the mean of the errors up to it: the other convention of MPJPE."""
    return [total / count for count, total in enumerate(itertools.accumulate(errors), start=1)]


def accelerations(observed: Tensor, following: Tensor) -> Tensor:
    """Returns second differences (B, T, N) at the frames that follow the observed ones.

    The first two of them take in the last two observed frames.
    """
    return torch.diff(torch.cat([observed[:, -2:], following], dim=1), n=2, dim=1)


def acceleration_errors(predicted: Tensor, future: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the acceleration error, the acceleration of the prediction, and that of the ground truth.

    predicted, future, observed: poses (B, T, N) in mm.
    Each result is (B, T) in mm per frame squared, a mean over the joints of a vector's length.
    """
    own, true = accelerations(observed, predicted), accelerations(observed, future)
    none = torch.zeros_like(true)
    pairs = ((own, true), (own, none), (true, none))
    error, predicted_size, true_size = (joint_distances(a, b).mean(-1) for a, b in pairs)
    return error, predicted_size, true_size


def bone_length_errors(predicted: Tensor, future_all: Tensor, skeleton: Skeleton) -> Tensor:
    """Returns how much bone lengths differ from the true ones, (B, T) in mm: a mean over skeleton.bones."""
    parents, joints = map(list, zip(*skeleton.bones, strict=True))

    def lengths(poses: Tensor) -> Tensor:
        by_joint = poses.unflatten(-1, (-1, 3))  # (B, T, J, 3)
        return joint_distances(*(by_joint[:, :, ends].flatten(-2) for ends in (joints, parents)))

    return (lengths(complete_joints(predicted, future_all, skeleton)) - lengths(future_all)).abs().mean(-1)


def by_action(errors: Tensor, action_index: Tensor, actions: tuple[str, ...]) -> ActionTable:
    """Returns the mean error at each frame for every action that has windows, then 'avg', their mean.

    Sums are in double precision on the CPU, so that the result depends on neither batch size nor device.

    errors: (W, T).
    action_index: (W,) the action of each window.
    """
    errors, action_index = errors.double().cpu(), action_index.cpu()
    table = {action: errors[action_index == i].mean(0)
             for i, action in enumerate(actions) if (action_index == i).any()}
    table['avg'] = torch.stack(list(table.values())).mean(0)
    return {action: values.tolist() for action, values in table.items()}
