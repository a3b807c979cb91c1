"""What is dead must be called dead, and a network that was trained for a minute must live in every part."""
import pytest
import torch
from torch import nn

from model.ksof import KSOF
from tools import liveness
from utils.data.windows import Batch
from utils.evaluate.liveness import active_units, gates_of, look_inside

SIZES = {'node_n': 12, 'input_n': 10, 'output_n': 5, 'dct_n': 8, 'num_gcn': 1, 'd_model': 2, 'dropout': 0.0}


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = KSOF(**SIZES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
        model.gate.excite.weight *= 5
        for _ in range(20):
            model(windows().observed)
    return model.eval()


def windows():
    """Windows of which some move much and some little."""
    poses = (100 * torch.rand(64, 1, 1) * torch.randn(64, 15, 12)).cumsum(1)
    observed, future = poses.split([10, 5], dim=1)
    return Batch(observed, None, future, future, torch.zeros(64))


def found(model, batch):
    return look_inside(model, batch, lambda: (model(batch.observed).fused - batch.future).abs().mean().item())


def test_a_part_is_left_as_it_was(network):
    batch = windows()
    before = network(batch.observed).fused
    found(network, batch)
    assert torch.equal(network(batch.observed).fused, before)
    assert 'fuse' not in vars(network) and network.fusion.topk == 'signed' and network.fusion.k == 6


def test_taking_sof_out_gives_the_gated_sum_and_taking_out_a_path_the_other_one(network):
    batch = windows()
    errors = found(network, batch).errors
    prediction, last = network(batch.observed), batch.observed[:, -1:]

    def error(predicted):
        return (predicted - batch.future).abs().mean().item()

    gated = [network.gate(path - last) for path in (prediction.temporal, prediction.spatial)]
    assert errors['SOF'] == pytest.approx(error(last + sum(gated)), rel=1e-5)
    assert errors['K-TCN'] == pytest.approx(error(prediction.spatial), rel=1e-5)
    assert errors['S-GCN'] == pytest.approx(error(prediction.temporal), rel=1e-5)
    assert errors['whole'] == pytest.approx(error(prediction.fused), rel=1e-5)
    assert len({*errors.values()}) == len(errors) == 7


def test_units_that_never_fire_are_dead(network):
    with torch.no_grad():
        network.fusion.mlp[0].weight.zero_()
        network.fusion.mlp[0].bias[:40] = -1.0
        network.fusion.mlp[0].bias[40:] = 1.0
    assert active_units(network, windows())['fusion.mlp.1'] == pytest.approx(8 / 48)
    assert any(line.startswith('fusion.mlp.1: 17%') for line in found(network, windows()).dead())


def test_a_gate_that_does_not_look_at_the_motion_is_dead(network):
    assert min(spread for _, spread in gates_of(network, windows()).values()) > 0.01
    nn.init.zeros_(network.gate.excite.weight)
    inside = found(network, windows())
    assert inside.gates['K-TCN'] == (0.5, 0.0)
    assert sum(line.startswith('gate of the') for line in inside.dead()) == 2


def test_a_fusion_that_corrects_nothing_is_dead(network):
    nn.init.zeros_(network.fusion.mlp[-1].weight)
    nn.init.zeros_(network.fusion.mlp[-1].bias)
    inside = found(network, windows())
    assert inside.correction_mm == 0 and inside.displacement_mm > 1
    assert any(line.startswith('SOF: taking it out changes the error by +0.00%') for line in inside.dead())


def test_every_part_of_a_short_run_lives(command, tmp_path, sample_cmu, capsys):
    """The recipe on synthetic motion, a narrow network, some hundred steps."""
    words = ['--recipe', 'short', '--skip_rate', '8', '--batch_size', '4', '--lr_now', '0.01',
             '--average', '0.95']
    assert command(*words, '--dropout', '0', '--epoch', '4', '--no_test') == 0
    liveness.main([str(tmp_path / 'run'), '--data_dir', str(sample_cmu), '--windows', '256'])
    text = capsys.readouterr().out
    assert 'every part lives' in text, text
    shares = {line.split()[0]: float(line.split()[1].rstrip('%'))
              for line in text.split('gradient of each')[1].split('\n')[1:]
              if line.startswith('  ')}
    assert shares.keys() == {'fused', 'spatial', 'temporal', 'jps', 'velocity'}
    assert sum(shares.values()) == pytest.approx(100, abs=0.1) and shares['jps'] > 0.1
