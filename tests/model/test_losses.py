import math

import numpy as np
import pytest
import torch

from model.ksof import Prediction
from model.losses import KSOFLoss, joint_point_smoothness, mpjpe

FRAMES = torch.arange(5.0).view(1, 5, 1)


def test_mpjpe_of_a_known_offset():
    truth = torch.randn(2, 4, 6)
    shifted = truth + torch.tensor([3.0, 4.0, 0.0, 0.0, 0.0, 0.0])  # one of two joints is 5 mm off
    assert mpjpe(shifted, truth).item() == pytest.approx(2.5, abs=1e-5)


def test_mpjpe_equals_a_plain_loop():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4, 9))
    total = [math.dist(a[i, t, 3 * j : 3 * j + 3], b[i, t, 3 * j : 3 * j + 3])
             for i in range(3) for t in range(4) for j in range(3)]
    assert mpjpe(torch.from_numpy(a), torch.from_numpy(b)).item() == pytest.approx(sum(total) / len(total))


def test_mpjpe_refuses_different_shapes():
    with pytest.raises(AssertionError, match='predicted'):
        mpjpe(torch.zeros(1, 2, 3), torch.zeros(1, 1, 3))


def test_jps_of_constant_velocity_is_zero():
    assert joint_point_smoothness(FRAMES * torch.tensor([1.0, 2.0, 3.0])).item() == 0


def test_jps_of_constant_acceleration():
    # y = t^2 / 2 * (3, 4, 0): the second difference is (3, 4, 0) everywhere, 5 mm per frame squared
    assert joint_point_smoothness(FRAMES**2 / 2 * torch.tensor([3.0, 4.0, 0.0])).item() == pytest.approx(5)


def test_jps_of_one_jump():
    # frames 0 0 6 0 0 along x: second differences 6, -12, 6
    jump = torch.zeros(1, 5, 3)
    jump[0, 2, 0] = 6
    assert joint_point_smoothness(jump).item() == pytest.approx(8)


def test_jps_needs_three_frames():
    with pytest.raises(ValueError, match='at least 3 frames'):
        joint_point_smoothness(torch.zeros(1, 2, 3))


def test_total_is_the_formula():
    torch.manual_seed(0)
    truth, fused, temporal, spatial = 10 * torch.randn(4, 2, 5, 6)
    criterion = KSOFLoss(jps_weight=0.5)
    with torch.no_grad():
        criterion.log_a.fill_(math.log(2.0))
        criterion.log_b.fill_(math.log(3.0))
    terms = criterion(Prediction(fused, temporal, spatial), truth)
    l_t = mpjpe(temporal, truth) ** 2 + 0.5 * joint_point_smoothness(fused) ** 2
    expected = mpjpe(fused, truth) + mpjpe(spatial, truth) / 8 + l_t / 18 + math.log(2) + math.log(3)
    assert terms.total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert terms.a.item() == pytest.approx(2) and terms.b.item() == pytest.approx(3)


def test_weights_start_at_their_optimum_for_the_typical_error():
    criterion = KSOFLoss(jps_weight=0.0)
    truth = torch.zeros(1, 3, 3)
    off = truth + torch.tensor([25.0, 0.0, 0.0])
    criterion(Prediction(off, off, off), truth).total.backward()
    assert abs(criterion.log_a.grad.item()) < 1e-5 and abs(criterion.log_b.grad.item()) < 1e-5


def test_paths_may_be_supervised_beside_the_learned_weights():
    truth, fused, temporal, spatial = 10 * torch.randn(4, 2, 5, 6)
    prediction = Prediction(fused, temporal, spatial)
    plain, more = KSOFLoss()(prediction, truth), KSOFLoss(path_weight=0.3)(prediction, truth)
    assert more.total.item() == pytest.approx((plain.total + 0.3 * (plain.temporal + plain.spatial)).item(),
                                              rel=1e-6)


def test_errors_count_by_the_inverse_of_their_running_mean():
    torch.manual_seed(0)
    criterion = KSOFLoss(error_weighting=1.5, frames=3, joints=2)
    truth = torch.zeros(4, 3, 6)
    mean = None
    for step in range(1, 4):
        fused = 10 * torch.rand(4, 3, 6) + 1
        errors = torch.tensor([[sum(float(fused[w, t, 3 * j : 3 * j + 3].norm()) for w in range(4)) / 4
                                for j in range(2)]
                               for t in range(3)])
        mean = errors if mean is None else mean + (errors - mean) / step
        weights = mean**-1.5 / (mean**-1.5).mean()
        prediction = Prediction(fused, truth, truth)
        means = criterion.means(prediction, truth)
        terms = criterion.combine(means)
        assert terms.fused.item() == pytest.approx(errors.mean().item(), rel=1e-5)
        weighted = (errors * weights).mean().item()
        assert criterion.addends(means)['fused'].item() == pytest.approx(weighted, rel=1e-5)
    before = criterion.typical.clone()
    criterion.eval()(Prediction(fused + 9, truth, truth), truth)
    assert torch.equal(criterion.typical, before)


def test_the_running_mean_forgets_by_a_hundredth_and_bad_steps_leave_no_trace():
    criterion = KSOFLoss(error_weighting=1, frames=3, joints=1)
    truth = torch.zeros(1, 3, 3)

    def step(size):
        fused = torch.tensor([size, 0, 0]).expand(1, 3, 3)
        criterion(Prediction(fused, truth, truth), truth)

    for _ in range(100):
        step(10.0)
    step(20.0)
    assert criterion.typical.flatten().tolist() == pytest.approx([10 + 10 / 100] * 3, rel=1e-4)
    step(math.nan)
    assert criterion.typical.flatten().tolist() == pytest.approx([10 + 10 / 100] * 3, rel=1e-4)


def test_the_total_is_the_sum_of_its_addends_and_the_logarithms():
    truth, fused, temporal, spatial = 10 * torch.randn(4, 2, 5, 6)
    criterion = KSOFLoss(3.0, 2.0, 0.5, path_weight=0.1, error_weighting=1.0, frames=5, joints=2)
    means = criterion.means(Prediction(fused, temporal, spatial), truth)
    total = criterion.combine(means).total
    addends = criterion.addends(means)
    assert set(addends) == {'fused', 'spatial', 'temporal', 'jps', 'velocity', 'paths'}
    assert total.item() == pytest.approx(sum(addends.values()).item() + math.log(25) * 1.5, rel=1e-5)


def plain_mean(predicted, truth, frames=None):
    """MPJPE by loops over windows, frames and joints; of the given frames."""
    frames = range(len(truth[0])) if frames is None else frames
    distances = [math.dist(p[t][j : j + 3], g[t][j : j + 3])
                 for p, g in zip(predicted, truth, strict=True) for t in frames
                 for j in range(0, len(g[t]), 3)]
    return sum(distances) / len(distances)


def steps_of(poses):
    return [[[b - a for a, b in zip(*pair, strict=True)] for pair in zip(window, window[1:], strict=False)]
            for window in poses]


def test_every_addend_of_the_loss_by_hand_with_all_three_predictions_different():
    generator = torch.Generator().manual_seed(0)
    truth, fused, temporal, spatial = 10 * torch.randn(4, 2, 5, 6, generator=generator, dtype=torch.double)
    criterion = KSOFLoss(3.0, 2.0, 0.7, path_weight=0.1).double()
    torch.nn.init.constant_(criterion.log_a, math.log(2))
    torch.nn.init.constant_(criterion.log_b, math.log(3))
    means = criterion.means(Prediction(fused, temporal, spatial), truth)
    truth, fused, temporal, spatial = (poses.tolist() for poses in (truth, fused, temporal, spatial))
    l_k, l_s, still = plain_mean(temporal, truth), plain_mean(spatial, truth), torch.zeros(2, 3, 6).tolist()
    shares = [k**-0.7 for k in range(1, 6)]
    near = sum(share * plain_mean(fused, truth, [t]) for t, share in enumerate(shares)) / sum(shares)
    jps = plain_mean(steps_of(steps_of(fused)), still)
    expected = {'fused': near, 'spatial': l_s / 8, 'temporal': l_k**2 / 18, 'jps': 3 * jps**2 / 18,
                'velocity': 2 * plain_mean(steps_of(fused), steps_of(truth)), 'paths': 0.1 * (l_k + l_s)}
    found = {name: addend.item() for name, addend in criterion.addends(means).items()}
    assert found == pytest.approx(expected, rel=1e-6)
    total = sum(expected.values()) + math.log(2) + math.log(3)
    terms = criterion.combine(means)
    assert [term.item() for term in terms] == pytest.approx(
        [total, plain_mean(fused, truth), l_k, l_s, jps, 2, 3], rel=1e-6)


def test_the_velocity_weight_is_on_the_fused_prediction_and_not_on_a_path():
    truth, fused = torch.randn(2, 2, 5, 6)
    other = Prediction(fused, fused + torch.arange(5.0)[:, None], fused - torch.arange(5.0)[:, None])
    criterion = KSOFLoss(velocity_weight=2.0)
    same = criterion.addends(criterion.means(Prediction(fused, fused, fused), truth))['velocity']
    assert torch.equal(criterion.addends(criterion.means(other, truth))['velocity'], same)


def test_a_weight_of_zero_drops_its_term():
    criterion = KSOFLoss(jps_weight=0.0)
    truth, predicted = torch.randn(2, 2, 5, 6)
    addends = criterion.addends(criterion.means(Prediction(predicted, predicted, predicted), truth))
    assert addends.keys() == {'fused', 'spatial', 'temporal', 'jps'} and addends['jps'] == 0


def test_a_and_b_stay_where_they_begin_where_they_are_not_learned():
    learned, fixed = KSOFLoss(), KSOFLoss(learned_weights=False)
    assert learned.log_a.requires_grad and learned.log_b.requires_grad
    assert not fixed.log_a.requires_grad and not fixed.log_b.requires_grad
