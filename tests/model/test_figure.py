"""The paper's figure, as assertions: what stands where, and what enters where."""
import inspect
import math

import pytest
import torch
from scipy.special import erf
from seeded import seed_network, seeded_motion, sizes
from torch import nn
from torch.nn.utils import parametrize

from model import losses
from model.dropout import Dropout
from model.ksof import KSOF
from model.ktcn import KTCN, CausalConv
from model.sgcn import SGCN, GraphConv, GraphStage
from model.sof import SOF, FrameGate


@pytest.fixture(scope='module')
def network():
    """A narrow KSOF of the paper's sizes on Human3.6M, with dropout; tests only read it."""
    return seed_network(KSOF(**sizes('h36m', d_model=1, dropout=0.25)))


@pytest.fixture(scope='module')
def spatial():
    """Builds a small S-GCN with seeded weights."""
    sizes = {'node_n': 6, 'dct_n': 5, 'num_gcn': 4, 'width': 7, 'dropout': 0.25}
    return lambda **changes: seed_network(SGCN(**sizes | changes))


def record(module, seen):
    """Keeps what the module is given and what it returns, under itself, as calls come."""
    module.register_forward_hook(lambda _, given, made: seen.update({module: (given[0], made)}))


@pytest.mark.parametrize('wiring, skips', [
    ('released', {8: 6, 9: 5, 10: 4, 11: 3, 12: 2, 13: 1}), ('inner', {9: 5, 10: 4, 11: 3, 12: 2})])
def test_s_gcn_has_thirteen_stages_and_its_skips_join_the_stages_of_the_figure(spatial, wiring, skips):
    path, seen = spatial(wiring=wiring).eval(), {}
    stages = [path.first, *path.down, *path.middle, *path.up, path.last]
    for stage in stages:
        record(stage, seen)
    coefficients = torch.randn(2, 6, 5, dtype=torch.double)
    result = path(coefficients)
    assert len(stages) == 13 and list(seen) == stages  # called in this order
    outputs = [seen[stage][1] for stage in stages]
    assert torch.equal(seen[stages[0]][0], coefficients) and torch.equal(result, outputs[-1])
    for number in range(2, 14):
        skip = outputs[skips[number] - 1] if number in skips else 0
        taken = seen[stages[number - 1]][0]
        assert torch.allclose(taken, outputs[number - 2] + skip, rtol=0, atol=1e-12), f'stage {number}'


def test_a_block_of_the_s_gcn_is_two_stages_and_a_residual(spatial):
    block, x = spatial().eval().down[0], torch.randn(2, 6, 7, dtype=torch.double)
    first, second = block.body
    torch.testing.assert_close(block(x), x + second(first(x)), rtol=0, atol=1e-12)


def test_a_stage_of_the_s_gcn_is_convolution_norm_leaky_relu_dropout(spatial):
    path = spatial()
    for stage in [part for part in path.modules() if isinstance(part, GraphStage)]:
        given = torch.randn(3, 6, stage.conv.linear.in_features, dtype=torch.double)
        seen = {}
        for part in (stage.conv, stage.norm, stage.activation, stage.dropout):
            record(part, seen)
        result = stage(given)
        assert list(seen) == [stage.conv, stage.norm, stage.activation, stage.dropout]
        normed = seen[stage.norm][1]
        assert torch.equal(seen[stage.norm][0], seen[stage.conv][1])
        assert torch.equal(result, seen[stage.dropout][1])
        torch.testing.assert_close(seen[stage.activation][1], torch.maximum(normed, normed / 100))
    assert isinstance(path.last, GraphConv) and not list(path.last.linear.children())  # the last one is bare


def test_a_graph_convolution_is_a_of_xw_plus_b():
    layer = seed_network(GraphConv(3, 2, 4))
    x = torch.randn(2, 3, 2, dtype=torch.double)
    expected = layer.adjacency @ (x @ layer.linear.weight.T + layer.linear.bias)
    torch.testing.assert_close(layer(x), expected)


def test_an_adjacency_starts_near_the_identity():
    torch.manual_seed(0)
    off = GraphConv(50, 2, 2).adjacency - torch.eye(50)
    assert off.abs().max() <= 1 / 50 and off.std().item() == pytest.approx(1 / 50 / 3**0.5, rel=0.05)


def test_batch_norm_of_the_s_gcn_is_over_nodes_and_features_with_the_usual_constants(network):
    norms = [part.norm for part in network.modules() if isinstance(part, GraphStage)]
    assert len(norms) == 1 + 2 * 11
    for norm in norms:
        assert isinstance(norm, nn.BatchNorm1d) and norm.num_features == 66 * 15
        assert norm.eps == 1e-5 and norm.momentum == 0.1 and norm.affine and norm.track_running_stats
    windows = torch.randn(5, 66, 15, dtype=torch.double)
    expected = (windows - windows.mean(0)) / (windows.var(0, unbiased=False) + 1e-5).sqrt()
    norm = norms[0].train()
    torch.testing.assert_close(norm(windows), expected * norm.weight.view(66, 15) + norm.bias.view(66, 15))


def test_k_tcn_has_four_blocks_of_two_weight_normalised_convolutions_with_dilations_1_2_4_8(network):
    assert len(network.ktcn.blocks) == 4
    for block, dilation in zip(network.ktcn.blocks, (1, 2, 4, 8), strict=True):
        convolutions = [part for part in block.body if isinstance(part, CausalConv)]
        assert len(convolutions) == 2
        for part in convolutions:
            assert (part.conv.kernel_size, part.conv.dilation, part.conv.stride) == ((2,), (dilation,), (1,))
            assert parametrize.is_parametrized(part.conv, 'weight'), 'no weight norm'
            length = part.conv.weight.flatten(1).norm(dim=1)
            torch.testing.assert_close(length, part.conv.parametrizations.weight.original0.flatten())
    assert network.ktcn.embedding.kernel_size == network.ktcn.projection.kernel_size == (1,)
    assert network.ktcn.embedding.out_channels == 16  # 16 x d_model


def test_the_k_tcn_takes_velocities_and_integrates_those_it_predicts_from_the_last_pose(network):
    network.eval()
    path, observed, seen = network.ktcn, seeded_motion('h36m', 3, 10), {}
    record(path.embedding, seen)
    predicted = path(observed)
    network.train()
    taken = seen[path.embedding][0].transpose(1, 2)
    assert not taken[:, 0].any() and torch.equal(taken[:, 1:], observed[:, 1:] - observed[:, :-1])
    steps = path.project(path.blocks.eval()(seen[path.embedding][1]))
    network.train()
    expected = [observed[:, -1] + steps[:, : frame + 1].sum(1) for frame in range(10)]
    torch.testing.assert_close(predicted, torch.stack(expected, dim=1))


def test_without_options_the_network_is_the_released_one_with_every_part():
    defaults = {name: option.default for name, option in inspect.signature(KSOF).parameters.items()
                if option.default is not inspect.Parameter.empty}
    parts = dict.fromkeys(('ktcn', 'sgcn', 'gates', 'fusion', 'fusion_residual'), True)
    assert defaults == parts | {'tcn_axis': 'time', 'topk': 'signed', 'norm': 'batch', 'wiring': 'released'}


def test_each_convolution_of_the_k_tcn_is_followed_by_relu_and_dropout(network):
    block, calls = network.ktcn.blocks[0], []
    hooks = [part.register_forward_hook(lambda part, *_, kind=kind: calls.append(kind.__name__))
             for kind in (nn.Conv1d, nn.ReLU, Dropout) for part in block.modules() if isinstance(part, kind)]
    block(torch.randn(2, 16, 10, dtype=torch.double))
    for hook in hooks:
        hook.remove()
    assert calls == ['Conv1d', 'ReLU', 'Dropout', 'Conv1d', 'ReLU', 'Dropout', 'ReLU']


def test_a_block_of_the_k_tcn_adds_its_input_before_the_last_relu(network):
    block, x = network.ktcn.blocks[1].eval(), torch.randn(2, 16, 10, dtype=torch.double)
    torch.testing.assert_close(block(x), (block.body(x) + x).clamp(min=0))
    network.train()


def test_a_position_sees_two_to_the_power_of_four_minus_one_steps_back_for_each_convolution():
    """Two convolutions of kernel 2 and dilations 1, 2, 4, 8 in each block: 30 positions back, none ahead."""
    path = seed_network(KTCN(node_n=3, input_n=40, output_n=4, width=4, dropout=0)).eval()
    for block in path.blocks:
        for part in block.body:
            if isinstance(part, CausalConv):
                part.conv.parametrizations.weight.original1.data.abs_()  # so that no ReLU shuts
                part.conv.bias.data.fill_(1)
    path.embedding.bias.data.fill_(100)
    steps = torch.randn(1, 40, 3, dtype=torch.double, requires_grad=True)
    path.features(steps)[0, :, 35].sum().backward()
    assert torch.nonzero(steps.grad[0].abs().sum(1)).flatten().tolist() == list(range(5, 36))


def test_dropout_stands_after_every_activation_of_both_paths_and_nowhere_else(network):
    found = [name for name, part in network.named_modules() if isinstance(part, nn.Dropout)]
    stages = [f'{name}.dropout' for name, part in network.named_modules() if isinstance(part, GraphStage)]
    assert sorted(found) == sorted(stages + [f'ktcn.blocks.{i}.body.{j}' for i in range(4) for j in (2, 5)])
    assert all(network.get_submodule(name).p == 0.25 for name in found)


@pytest.mark.parametrize('p', [0.25, 0.1])
def test_dropout_zeroes_its_share_in_training_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x, layer = torch.full((400, 501), 3.0), Dropout(p)
    dropped = layer(x)
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.005)
    assert dropped[dropped != 0].unique().tolist() == pytest.approx([3 / (1 - p)], rel=1e-4)
    neighbours = torch.stack([dropped[:, :-1].flatten(), dropped[:, 1:].flatten()])
    assert torch.corrcoef(neighbours)[0, 1].abs() < 0.01
    assert torch.equal(layer.eval()(x), x)


def test_sof_is_a_chain_of_relu_and_convolutions_of_7_5_and_3_frames(network):
    fusion = network.fusion
    assert [[type(part) for part in stage] for stage in fusion.stages] == [[nn.ReLU, nn.Conv1d]] * 3
    for stage, kernel, channels in zip(fusion.stages, (7, 5, 3), (132, 66, 66), strict=True):
        convolution = stage[1]
        assert (convolution.kernel_size, convolution.padding) == ((kernel,), (kernel // 2,))
        assert convolution.dilation == (1,)
        assert (convolution.in_channels, convolution.out_channels) == (channels, 66)
    assert (fusion.skip.kernel_size, fusion.skip.in_channels, fusion.skip.out_channels) == ((1,), 132, 66)


@pytest.mark.parametrize('topk', ['signed', 'inside'])
def test_each_stage_of_sof_takes_the_one_before_and_the_mlp_takes_skip_and_all_three(topk):
    fusion, seen = seed_network(SOF(node_n=7, topk=topk)), {}
    for part in (fusion.skip, *fusion.stages, fusion.mlp):
        record(part, seen)
    temporal, spatial = 50 * torch.randn(2, 3, 5, 7, dtype=torch.double)
    correction = fusion(temporal, spatial)
    both = torch.cat([temporal, spatial], dim=2).transpose(1, 2) / 50  # a typical displacement is one
    torch.testing.assert_close(seen[fusion.skip][0], both)
    torch.testing.assert_close(seen[fusion.stages[0]][0], both)
    strongest = []
    for number, stage in enumerate(fusion.stages):
        made = seen[stage][1]
        limit = made.topk(3, dim=1).values[:, -1:]  # k = 7 // 2
        strongest.append(torch.where(made >= limit, made, 0))
        if number < 2:
            taken = seen[fusion.stages[number + 1]][0]
            assert torch.equal(taken, strongest[-1] if topk == 'inside' else made)
    features = torch.cat([seen[fusion.skip][1], *strongest], dim=1).transpose(1, 2)
    assert torch.equal(seen[fusion.mlp][0], features)
    torch.testing.assert_close(correction, 50 * seen[fusion.mlp][1])


@pytest.mark.parametrize('node_n, k', [(66, 33), (75, 37), (69, 34), (1, 1)])
def test_top_k_keeps_half_of_the_coordinates(node_n, k):
    assert SOF(node_n=node_n).k == k


def test_the_mlp_of_sof_is_linear_gelu_linear_four_units_wide_for_each_coordinate(network):
    first, activation, second = network.fusion.mlp
    assert (first.in_features, first.out_features) == (4 * 66, 4 * 66) and second.out_features == 66
    x = torch.linspace(-3, 3, 13, dtype=torch.double)
    torch.testing.assert_close(activation(x), x * (1 + torch.from_numpy(erf(x.numpy() / math.sqrt(2)))) / 2)
    assert activation(torch.tensor(-1.0)) < 0  # it cannot shut for ever


def test_one_gate_serves_both_paths_with_leaky_relu_and_without_biases(network):
    gates = [part for part in network.modules() if isinstance(part, FrameGate)]
    assert gates == [network.gate]
    gate = network.gate
    assert gate.squeeze.bias is None and gate.excite.bias is None and not gate.norm.affine
    assert gate.squeeze.weight.shape == (2, 10) and gate.excite.weight.shape == (10, 2)  # 10 // 4 = 2
    assert FrameGate(25).squeeze.out_features == 6 and FrameGate(4).squeeze.out_features == 2
    assert gate.activation(torch.tensor(-2.0)).item() == pytest.approx(-0.02)


def test_a_gate_squeezes_the_mean_magnitude_of_each_frame_normalised_over_windows(network):
    gate, seen = seed_network(FrameGate(5)), {}
    record(gate.squeeze, seen)
    motion = 80 * torch.randn(6, 5, 12, dtype=torch.double)
    scaled = gate(motion)
    size = motion.abs().mean(2)
    normalised = (size - size.mean(0)) / (size.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(seen[gate.squeeze][0], normalised)
    torch.testing.assert_close(scaled, motion * gate.gates(motion)[:, :, None])
    gate.eval()
    torch.testing.assert_close(gate(motion), gate(-motion) * -1)  # the sign of a displacement says nothing
    network.eval()
    calls = []
    hook = network.gate.register_forward_hook(lambda _, given, made: calls.append(given[0]))
    observed = seeded_motion('h36m', 3, 10)
    prediction = network(observed)
    hook.remove()
    network.train()
    last = observed[:, -1:]
    paths = torch.cat([prediction.temporal - last, prediction.spatial - last])
    torch.testing.assert_close(torch.cat(calls), paths)


def test_paths_are_supervised_before_the_gate_and_fused_after_it(network):
    network.eval()
    observed = seeded_motion('h36m', 3, 10)
    prediction, last = network(observed), observed[:, -1:]
    network.train()
    torch.testing.assert_close(prediction.temporal, network.eval().ktcn(observed))
    gated = [network.gate(path - last) for path in (prediction.temporal, prediction.spatial)]
    torch.testing.assert_close(prediction.fused, last + sum(gated) + network.fusion(*gated))
    correction, exchanged = network.fusion(*gated), network.fusion(*gated[::-1])
    assert correction.abs().mean() > 1 and (correction - exchanged).abs().max() > 1
    network.train()


def test_an_untrained_output_is_zero_only_where_it_must_be():
    torch.manual_seed(0)
    network = KSOF(**sizes('h36m', d_model=1))
    silent = {name for name, parameter in network.named_parameters() if not parameter.any()}
    norms = {name for name in silent if name.endswith('norm.bias')}
    outputs = {f'{layer}.{part}' for layer in ('ktcn.projection', 'sgcn.last.linear', 'fusion.mlp.2')
               for part in ('weight', 'bias')}
    assert silent - norms == outputs | {'gate.excite.weight'}


def test_the_loss_starts_at_25_mm_and_weighs_jps_by_one():
    criterion = losses.KSOFLoss()
    assert criterion.log_a.item() == pytest.approx(math.log(5))
    assert criterion.log_b.item() == pytest.approx(math.log(25))
    assert inspect.signature(losses.KSOFLoss).parameters['jps_weight'].default == 1
