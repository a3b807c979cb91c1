"""The benchmark's averages against sums written out."""
import math

import pytest
import torch

from utils.data.skeleton import CMU, H36M, THREEDPW
from utils.metrics import by_action, complete_joints, frame_errors


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
                pose[j] = truth[0, t, 3 * j : 3 * j + 3].tolist() if role == 'truth' else pose[skeleton.joints.index(role)]
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
