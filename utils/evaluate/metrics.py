"""Errors as the protocols define them: MPJPE at each frame over all joints of the benchmark, by action; and two of motion."""
import torch
from torch import Tensor

from model.losses import joint_distances
from utils.data.skeleton import Skeleton

ActionTable = dict[str, list[float]]  # action -> error at each frame, with 'avg' last


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


def accelerations(observed: Tensor, following: Tensor) -> Tensor:
    """Second differences at each frame (B, T, N) that follows the observed ones, of which the last two are part of them."""
    return torch.diff(torch.cat([observed[:, -2:], following], dim=1), n=2, dim=1)


def acceleration_errors(predicted: Tensor, future: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Acceleration error of each window at each frame, and the size of the prediction's and the truth's acceleration.

    Poses (B, T, N) in mm, means over the joints -> (B, T) mm per frame squared, three times.
    """
    own, true = accelerations(observed, predicted), accelerations(observed, future)
    none = torch.zeros_like(true)
    return joint_distances(own, true).mean(-1), joint_distances(own, none).mean(-1), joint_distances(true, none).mean(-1)


def bone_length_errors(predicted: Tensor, future_all: Tensor, skeleton: Skeleton) -> Tensor:
    """How far bones of each window are off their true length at each frame, mean over skeleton.bones: (B, T) mm."""
    parents, joints = map(list, zip(*skeleton.bones, strict=True))

    def lengths(poses: Tensor) -> Tensor:
        return joint_distances(*(poses.unflatten(-1, (-1, 3))[:, :, ends].flatten(-2) for ends in (joints, parents)))

    return (lengths(complete_joints(predicted, future_all, skeleton)) - lengths(future_all)).abs().mean(-1)


def by_action(errors: Tensor, action_index: Tensor, actions: tuple[str, ...]) -> ActionTable:
    """(W, T) errors -> mean error at each frame for every action that has windows, then 'avg', the mean of the actions.

    Sums are taken in double precision on the CPU, so that the result depends on neither batch size nor device.
    """
    errors, action_index = errors.double().cpu(), action_index.cpu()
    table = {action: errors[action_index == i].mean(0)
             for i, action in enumerate(actions) if (action_index == i).any()}
    table['avg'] = torch.stack(list(table.values())).mean(0)
    return {action: values.tolist() for action, values in table.items()}
