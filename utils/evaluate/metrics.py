"""Errors as the protocols define them: MPJPE at each frame over all joints, by action; and two of motion."""
import torch
from torch import Tensor

from model.losses import joint_distances
from utils.data.skeleton import Skeleton

ActionTable = dict[str, list[float]]  # action -> error at each frame, with 'avg' last


def complete_joints(predicted: Tensor, truth_all: Tensor, skeleton: Skeleton) -> Tensor:
    """Completes a prediction to all joints as the field scores them. Returns (B, T, 3 J), mm.

    Joints are predicted, copied from a predicted one at the same place, or taken from the ground truth.

    predicted: (B, T, N) mm.
    truth_all: (B, T, 3 J) mm.
    """
    joints = truth_all.unflatten(-1, (-1, 3)).clone()  # (B, T, J, 3)
    joints[:, :, list(skeleton.predicted)] = predicted.unflatten(-1, (-1, 3))
    joints[:, :, list(skeleton.copied)] = joints[:, :, list(skeleton.copied_from)]
    return joints.flatten(-2)


def frame_errors(predicted: Tensor, future_all: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Returns the MPJPE of each window at each frame, (B, T) mm: over all J joints (the field's), and over the predicted."""
    distances = joint_distances(complete_joints(predicted, future_all, skeleton), future_all)  # (B, T, J)
    return distances.mean(-1), distances[:, :, list(skeleton.predicted)].mean(-1)


def accelerations(observed: Tensor, following: Tensor) -> Tensor:
    """Returns second differences (B, T, N) at the frames that follow the observed ones, of which the last two count too."""
    return torch.diff(torch.cat([observed[:, -2:], following], dim=1), n=2, dim=1)


def acceleration_errors(predicted: Tensor, future: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the acceleration error, and the sizes of the prediction's and the ground truth's acceleration.

    Each is (B, T) in mm per frame squared, a mean over the joints of poses (B, T, N) in mm.
    """
    own, true = accelerations(observed, predicted), accelerations(observed, future)
    none = torch.zeros_like(true)
    return joint_distances(own, true).mean(-1), joint_distances(own, none).mean(-1), joint_distances(true, none).mean(-1)


def bone_length_errors(predicted: Tensor, future_all: Tensor, skeleton: Skeleton) -> Tensor:
    """Returns how far bones are off their true length, (B, T) mm: the mean over skeleton.bones."""
    parents, joints = map(list, zip(*skeleton.bones, strict=True))

    def lengths(poses: Tensor) -> Tensor:
        return joint_distances(*(poses.unflatten(-1, (-1, 3))[:, :, ends].flatten(-2) for ends in (joints, parents)))

    return (lengths(complete_joints(predicted, future_all, skeleton)) - lengths(future_all)).abs().mean(-1)


def by_action(errors: Tensor, action_index: Tensor, actions: tuple[str, ...]) -> ActionTable:
    """Returns the mean error at each frame for every action that has windows, then 'avg', the mean of the actions.

    errors: (W, T). action_index: the action of each window, (W,).

    Sums are taken in double precision on the CPU, so that the result depends on neither batch size nor device.
    """
    errors, action_index = errors.double().cpu(), action_index.cpu()
    table = {action: errors[action_index == i].mean(0)
             for i, action in enumerate(actions) if (action_index == i).any()}
    table['avg'] = torch.stack(list(table.values())).mean(0)
    return {action: values.tolist() for action, values in table.items()}
