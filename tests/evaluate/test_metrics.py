"""The benchmark's averages against sums written out."""
import math

import pytest
import torch

from model.baselines import ConstantVelocity, ZeroVelocity
from utils.data.skeleton import CMU, H36M, THREEDPW
from utils.evaluate.metrics import (
    acceleration_errors,
    bone_length_errors,
    by_action,
    complete_joints,
    frame_errors,
)


@pytest.mark.parametrize('skeleton', [CMU, H36M, THREEDPW], ids=['cmu', 'h36m', '3dpw'])
def test_frame_errors_equal_a_plain_sum(skeleton):
    joints, frames = len(skeleton.joints), 2
    truth = torch.randn(1, frames, 3 * joints)
    predicted = torch.randn(1, frames, skeleton.node_n)
    everywhere, of_predicted = frame_errors(predicted, truth, skeleton)
    for t in range(frames):
        pose = {j: predicted[0, t, 3 * k : 3 * k + 3].tolist() for k, j in enumerate(skeleton.predicted)}
        for j, (_, _, role, *_) in enumerate(skeleton.rows):
            if j not in pose:
                pose[j] = (truth[0, t, 3 * j : 3 * j + 3].tolist() if role == 'truth'
                           else pose[skeleton.joints.index(role)])
        distance = {j: math.dist(pose[j], truth[0, t, 3 * j : 3 * j + 3].tolist()) for j in pose}
        assert everywhere[0, t].item() == pytest.approx(sum(distance.values()) / joints, rel=1e-5)
        only = [distance[j] for j in skeleton.predicted]
        assert of_predicted[0, t].item() == pytest.approx(sum(only) / len(only), rel=1e-5)


def test_joints_from_the_truth_have_no_error():
    truth = torch.randn(2, 3, 3 * len(CMU.joints))
    whole = complete_joints(torch.zeros(2, 3, CMU.node_n), truth, CMU).unflatten(-1, (-1, 3))
    given = [j for j, row in enumerate(CMU.rows) if row[2] == 'truth']
    assert len(given) == 6 and torch.equal(whole[:, :, given], truth.unflatten(-1, (-1, 3))[:, :, given])
    assert not whole[:, :, list(CMU.predicted) + list(CMU.copied)].any()


def test_the_average_weighs_actions_and_not_windows():
    errors = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]])
    table = by_action(errors, torch.tensor([0, 0, 2]), ('walking', 'running', 'jumping'))
    assert table == {'walking': [2.0, 3.0], 'jumping': [10.0, 20.0], 'avg': [6.0, 11.5]}


def as_joints(poses):
    """(T, 3 J) -> T lists of J points."""
    return [[frame[k : k + 3] for k in range(0, len(frame), 3)] for frame in poses.tolist()]


def test_acceleration_errors_equal_a_plain_sum():
    observed, predicted, future = (torch.randn(2, frames, 12) for frames in (4, 3, 3))
    found = acceleration_errors(predicted, future, observed)
    for window in range(2):
        own, true = (as_joints(torch.cat([observed[window, 2:], poses[window]]))
                     for poses in (predicted, future))
        for t in range(2, 5):
            bends = [[[moved[t][j][c] - 2 * moved[t - 1][j][c] + moved[t - 2][j][c] for c in range(3)]
                      for j in range(4)]
                     for moved in (own, true)]
            expected = (sum(map(math.dist, *bends)) / 4,
                        *(sum(math.hypot(*bend) for bend in joints) / 4 for joints in bends))
            assert [errors[window, t - 2].item() for errors in found] == pytest.approx(expected, rel=1e-5)


def test_baselines_accelerate_at_the_seam_alone():
    observed, future = torch.randn(3, 5, 12), torch.randn(3, 6, 12)
    last_step = (observed[:, -1] - observed[:, -2]).unflatten(-1, (-1, 3)).norm(dim=-1).mean(-1)
    for baseline, at_the_seam in ((ConstantVelocity(6), torch.zeros(3)), (ZeroVelocity(6), last_step)):
        error, own, true = acceleration_errors(baseline(observed), future, observed)
        torch.testing.assert_close(own[:, 0], at_the_seam, atol=1e-5, rtol=0)
        assert own[:, 1:].max() < 1e-5 and true.min() > 0.1
        torch.testing.assert_close(error[:, 1:], true[:, 1:], atol=1e-5, rtol=0)
    assert torch.equal(acceleration_errors(future, future, observed)[0], torch.zeros(3, 6))


@pytest.mark.parametrize('skeleton', [CMU, H36M, THREEDPW], ids=['cmu', 'h36m', '3dpw'])
def test_bone_length_errors_equal_a_plain_sum(skeleton):
    truth = torch.randn(1, 2, len(skeleton.joints), 3)
    truth[:, :, skeleton.copied] = truth[:, :, skeleton.copied_from]
    predicted, truth = torch.randn(1, 2, skeleton.node_n), truth.flatten(-2)
    found = bone_length_errors(predicted, truth, skeleton)
    for t, (guess, true) in enumerate(zip(as_joints(predicted[0]), as_joints(truth[0]), strict=True)):
        given = dict(zip(skeleton.predicted, guess, strict=True))
        errors = {}
        for joint, parent, role in zip(skeleton.joints, skeleton.parents, [row[2] for row in skeleton.rows],
                                       strict=True):
            # The ends of the bone from this joint to its parent: a name for each place.
            # `given` says where the prediction has it.
            ends = []
            for end in (skeleton.joints.index(joint), parent):
                of = {'predicted': end, 'truth': end}.get(skeleton.rows[end][2], skeleton.rows[end][2])
                ends.append(skeleton.joints.index(of) if isinstance(of, str) else of)
            if role != 'truth' and ends[0] != ends[1]:
                lengths = [math.dist(*(pose.get(end, true[end]) for end in ends))
                           for pose in (given, dict(enumerate(true)))]
                errors[frozenset(ends)] = abs(lengths[0] - lengths[1])
        assert len(errors) == len(skeleton.bones) == len(skeleton.predicted)
        assert found[0, t].item() == pytest.approx(sum(errors.values()) / len(errors), rel=1e-5)


@pytest.mark.parametrize('skeleton', [CMU, H36M, THREEDPW], ids=['cmu', 'h36m', '3dpw'])
def test_a_body_turned_as_a_whole_keeps_its_bones(skeleton):
    truth = 300 * torch.randn(2, 3, len(skeleton.joints), 3)
    # What is not predicted does not turn either.
    truth[:, :, [row[2] == 'truth' for row in skeleton.rows]] = 0
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    turned = (truth @ turn)[:, :, list(skeleton.predicted)].flatten(-2)
    assert bone_length_errors(turned, truth.flatten(-2), skeleton).max() < 1e-3
    assert bone_length_errors(1.1 * turned, truth.flatten(-2), skeleton).min() > 10


def test_a_bone_between_predicted_joints_may_be_moved():
    truth = 300 * torch.randn(1, 1, 24, 3)
    moved = truth + torch.tensor([50.0, -20, 70])
    errors = bone_length_errors(moved[:, :, 1:].flatten(-2), truth.flatten(-2), THREEDPW)
    at_the_root = (moved - truth[:, :, :1]).norm(dim=-1) - (truth - truth[:, :, :1]).norm(dim=-1)
    assert errors.item() == pytest.approx(at_the_root[0, 0, 1:4].abs().sum().item() / 23, rel=1e-3)
