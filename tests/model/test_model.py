import itertools

import pytest
import torch

from model.baselines import ConstantVelocity, ZeroVelocity
from model.dct import encode
from model.ksof import KSOF
from model.ktcn import KTCN, velocity
from model.losses import KSOFLoss, mpjpe
from model.sof import SOF, FrameGate, top_k

SIZES = {'node_n': 12, 'input_n': 10, 'output_n': 5, 'dct_n': 8, 'num_gcn': 2, 'd_model': 2, 'dropout': 0.0}


def network(seed=0, **changes):
    torch.manual_seed(seed)
    return KSOF(**SIZES | changes)


def trained(**changes):
    """A network whose zero-initialised layers are no longer zero, and whose batch norms have seen data."""
    model = network(**changes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    for _ in range(3):
        model(poses(16))
    return model.eval()


def poses(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return 100 * torch.randn(count, SIZES['input_n'], SIZES['node_n'], generator=generator).cumsum(1)


@pytest.mark.parametrize('changes', [{}, {'tcn_axis': 'coordinates'}, {'topk': 'packed'}, {'topk': 'off'},
                                     {'topk': 'inside'}, {'wiring': 'inner'}, {'ktcn': False},
                                     {'sgcn': False}, {'fusion': False}, {'gates': False},
                                     {'output_n': 25, 'dct_n': 35}, {'num_gcn': 1, 'd_model': 1, 'dct_n': 1}])
def test_untrained_network_is_zero_velocity(changes):
    observed = poses(4)
    prediction = network(**changes)(observed)
    expected = ZeroVelocity(changes.get('output_n', 5))(observed)
    for part in prediction:
        assert torch.equal(part, expected)


def test_stages_of_the_spatial_path():
    for num_gcn, wiring in itertools.product((1, 4), ('released', 'inner')):
        model = network(num_gcn=num_gcn, wiring=wiring)
        convolutions = [name for name, _ in model.sgcn.named_modules()
                        if name.endswith('adjacency') or name.endswith('conv')]
        blocks = len(model.sgcn.down) + len(model.sgcn.middle) + len(model.sgcn.up)
        assert blocks + 2 == 2 * num_gcn + 5
        assert len(convolutions) == 1 + 2 * blocks


@pytest.mark.parametrize('option, change',
                         [('num_gcn', 3), ('d_model', 3), ('dct_n', 9), ('output_n', 6), ('input_n', 9)])
def test_every_size_changes_the_network(option, change):
    count = [sum(p.numel() for p in network(**settings).parameters()) for settings in ({}, {option: change})]
    assert count[0] != count[1]


def test_temporal_path_is_causal():
    torch.manual_seed(0)
    path = KTCN(node_n=6, input_n=10, output_n=5, width=8, dropout=0.0).eval()
    steps = torch.randn(1, 10, 6)
    before = path.features(steps)
    for frame in range(10):
        changed = steps.clone()
        changed[:, frame] += 1
        after = path.features(changed)
        assert torch.equal(after[:, :, :frame], before[:, :, :frame])
        assert not torch.equal(after[:, :, frame], before[:, :, frame])


def test_velocity_sees_observed_frames_only():
    observed = poses(2)
    assert torch.equal(velocity(observed)[:, 0], torch.zeros(2, 12))
    assert torch.equal(velocity(observed)[:, 1:], observed[:, 1:] - observed[:, :-1])


def test_temporal_path_integrates_from_the_last_pose():
    path = KTCN(node_n=6, input_n=10, output_n=5, width=8, dropout=0.0)
    torch.nn.init.constant_(path.projection.bias, 2.0)  # a velocity of 2 mm a frame, whatever is observed
    observed = torch.randn(3, 10, 6)
    predicted = path(observed)
    for frame in range(5):
        assert torch.allclose(predicted[:, frame], observed[:, -1] + 2 * (frame + 1), atol=1e-5)


@pytest.mark.parametrize('changes', [{}, {'tcn_axis': 'coordinates'}, {'topk': 'packed'}])
def test_batch_equals_single_in_evaluation(changes):
    model, observed = trained(**changes), poses(6, seed=2)
    together = model(observed)
    for i in range(len(observed)):
        for part, single in zip(together, model(observed[i : i + 1]), strict=True):
            assert torch.allclose(part[i : i + 1], single, atol=1e-3)


def test_coefficients_of_the_loader_equal_the_networks_own():
    model, observed = trained(), poses(3)
    for a, b in zip(model(observed), model(observed, encode(observed, model.encoding)), strict=True):
        assert torch.equal(a, b)


def test_both_views_are_used():
    model, observed = trained(), poses(3)
    changed = model(observed, encode(observed, model.encoding) + 50)
    original = model(observed)
    assert torch.equal(changed.temporal, original.temporal)
    assert not torch.equal(changed.spatial, original.spatial)
    assert not torch.equal(changed.fused, original.fused)


def test_constants_are_buffers_and_not_in_the_checkpoint():
    model = network()
    assert model.encoding.shape == (8, 10) and model.decoding.shape == (8, 5)
    assert not any('coding' in name for name in model.state_dict())


@pytest.mark.parametrize('how, size',
                         [('signed', lambda x: x), ('magnitude', torch.abs), ('packed', lambda x: x)])
def test_top_k_keeps_the_strongest(how, size):
    responses = torch.randn(3, 10, 4)
    kept = top_k(responses, 5, how)
    strongest = responses.gather(1, size(responses).sort(dim=1, descending=True).indices[:, :5])
    assert kept.shape[1] == (5 if how == 'packed' else 10)
    assert (kept != 0).sum(1).eq(5).all()
    sizes = size(kept).where(kept != 0, torch.tensor(-9.0))
    found = kept.gather(1, sizes.sort(dim=1, descending=True).indices[:, :5])
    assert torch.equal(found, strongest)
    if how != 'packed':
        assert torch.equal(kept[kept != 0], responses[kept != 0])


def test_top_k_off_keeps_all():
    responses = torch.randn(3, 10, 4)
    assert torch.equal(top_k(responses, 5, 'off'), responses)


@pytest.mark.parametrize('how', ['signed', 'magnitude'])
def test_top_k_keeps_exactly_k_of_equal_responses(how):
    assert top_k(torch.ones(1, 6, 2), 3, how).sum().item() == 6


@pytest.mark.parametrize('topk, beside',
                         [('signed', True), ('magnitude', True), ('packed', True), ('inside', False)])
def test_the_next_convolution_sees_all_of_the_one_before_and_the_mlp_the_strongest_half(topk, beside):
    fusion = SOF(node_n=12, topk=topk)
    seen = {}
    for number, stage in enumerate(fusion.stages):
        stage.register_forward_hook(
            lambda _, given, made, number=number: seen.update({number: (given[0], made)}))
    fusion.mlp.register_forward_hook(lambda _, given, made: seen.update(mlp=given[0]))
    fusion(*(50 * torch.randn(2, 4, 5, 12)))
    for number in (1, 2):
        assert torch.equal(seen[number][0], seen[number - 1][1]) == beside
    for number in range(3):
        pooled = seen['mlp'][..., 12 + number
                             * (6 if topk == 'packed' else 12):][..., : 6 if topk == 'packed' else 12]
        assert (pooled != 0).sum(-1).eq(6).all()


def test_a_gate_looks_at_the_motion():
    torch.manual_seed(0)
    gate = FrameGate(5)
    torch.nn.init.normal_(gate.excite.weight)
    motion = torch.randn(64, 5, 12) * torch.rand(64, 1, 1) * 100
    assert gate.gates(motion).std(0).min() > 0.01
    assert gate.gates(motion).shape == (64, 5)


def test_gates_start_at_one_half():
    x = torch.randn(2, 5, 12)
    assert torch.allclose(FrameGate(5)(x), x / 2)


def test_main_term_reaches_every_part_of_the_network():
    torch.manual_seed(0)
    model = trained().train()
    mpjpe(model(poses(8)).fused, poses(8)[:, :5]).backward()
    silent = [name for name, parameter in model.named_parameters()
              if parameter.grad is None or not parameter.grad.any()]
    # a bias in front of a batch norm is taken out by it
    assert [name for name in silent if not name.endswith('conv.linear.bias')] == []


@pytest.mark.parametrize('left_out, other', [('ktcn', 'spatial'), ('sgcn', 'temporal')])
def test_with_one_path_alone_its_prediction_is_the_fused_one(left_out, other):
    model, observed = trained(**{left_out: False}), poses(3)
    prediction = model(observed)
    assert torch.allclose(prediction.fused, getattr(prediction, other), atol=1e-3)
    assert not torch.allclose(prediction.fused, ZeroVelocity(5)(observed), atol=1.0)


def test_without_sof_the_fused_prediction_is_the_gated_sum():
    model, observed = trained(fusion=False), poses(3)
    prediction, last = model(observed), observed[:, -1:]
    expected = last + model.gate(prediction.temporal - last) + model.gate(prediction.spatial - last)
    assert torch.allclose(prediction.fused, expected, atol=1e-3)


def test_learned_weights_move_and_the_loss_falls():
    torch.manual_seed(0)
    model, criterion = network(), KSOFLoss()
    optimiser = torch.optim.Adam([*model.parameters(), *criterion.parameters()], lr=1e-3)
    observed = poses(16)
    truth = observed[:, -1:] + 3 * torch.arange(1, 6).view(1, 5, 1) * (observed[:, -1:] - observed[:, -2:-1])
    before = criterion.log_a.item(), criterion.log_b.item()
    totals = []
    for _ in range(30):
        terms = criterion(model(observed), truth)
        optimiser.zero_grad()
        terms.total.backward()
        optimiser.step()
        totals.append(terms.total.item())
    assert criterion.log_a.item() != before[0] and criterion.log_b.item() != before[1]
    assert totals[-1] < 0.9 * totals[0]


def test_baselines_on_a_straight_line():
    observed = torch.arange(10.0).view(1, 10, 1).expand(1, 10, 3)
    assert torch.equal(ZeroVelocity(4)(observed)[0, :, 0], torch.full((4,), 9.0))
    assert torch.equal(ConstantVelocity(4)(observed)[0, :, 0], torch.tensor([10.0, 11.0, 12.0, 13.0]))
